#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "sql/flow.h"

namespace twi::sql {

/// What waits, in weighted fair order of the flows that it is of, and of one flow in the order of
/// arrival. Null is a flow, too: of weight 1. Not thread-safe.
///
/// It is start-time fair queueing: each flow has a time of its own, which a turn puts forward by
/// the turn's cost over the flow's weight, and the flow that is furthest behind is next. While two
/// flows wait, what they were given for their weights differs by less than the cost of one turn of
/// each for its weight. Who had nothing waiting starts at the time of the last turn, without
/// credit: he is next, after at most one of each other flow. When nothing waits any more, all are
/// even.
///
/// A turn costs the logarithm of the number of flows that wait; with one flow it is a deque.
template <typename Item>
class FairQueue {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// How many of the flow wait.
  size_t waiting(const Flow* flow) const {
    const auto found = lines_.find(flow);
    return found == lines_.end() ? 0 : found->second->items.size();
  }
  /// How many flows it remembers: twice those at most that have something waiting or are ahead of
  /// the others, or kSpare.
  size_t flows() const { return lines_.size(); }

  /// Whether one more of the flow may wait where so many may.
  ///
  /// No flow has more waiting than there is room left. So a flood, however long it lasts, takes
  /// half of the room, two take a third each, and whoever comes next finds as much as each of them
  /// has. A fixed share would waste what nobody wants, or grow small with the number of flows. Null
  /// alone has all the room: it is everybody, and there is nobody to keep room for.
  bool HasRoom(const Flow* flow, size_t limit) const {
    if (size_ >= limit) return false;
    const size_t own = waiting(flow);
    return (flow == nullptr && own == size_) || own < limit - size_;
  }

  /// How many are before one more of the flow, if nobody else comes: those of its own, and as many
  /// of the others as have their turns meanwhile. `relative` is what a turn of the flow costs in
  /// mean turns of all.
  size_t Before(const Flow* flow, double relative = 1) const {
    const auto found = lines_.find(flow);
    if (found == lines_.end() || found->second->items.empty()) return 0;
    const Line& line = *found->second;
    if (waiting_.size() == 1) return size_;
    const double before =
        static_cast<double>(line.items.size()) * relative * weights_ / line.weight;
    return static_cast<size_t>(std::min(before, static_cast<double>(size_)));
  }

  /// `cost` is what each turn of the flow costs from now on.
  void Push(const Flow* flow, Item item, double cost = 1) {
    Line& line = LineOf(flow);
    line.cost = cost;
    const int before = line.items.empty() ? 0 : line.weight;
    line.weight = flow == nullptr ? 1 : std::max(1, flow->weight.load(std::memory_order_relaxed));
    weights_ += line.weight - before;
    line.items.push_back(std::move(item));
    ++size_;
    if (line.items.size() > 1) return;
    line.time = std::max(line.time, time_);
    Rank(&line);
  }

  /// The flow whose turn is next. REQUIRES: not empty.
  const Flow* next() const { return waiting_.front()->flow; }

  /// Gives a turn. REQUIRES: not empty.
  Item Pop() {
    std::pop_heap(waiting_.begin(), waiting_.end(), kLater);
    Line* const line = waiting_.back();
    waiting_.pop_back();
    Item item = std::move(line->items.front());
    line->items.pop_front();
    Charge(line);
    if (line->items.empty()) {
      weights_ -= line->weight;
    } else {
      Rank(line);
    }
    return item;
  }

  enum class Verdict {
    kTake,  ///< It has its turn.
    kDrop,  ///< It goes without one.
    kKeep,  ///< It waits on.
    kStop,  ///< It waits on, and so do all behind it.
  };
  /// Shows what waits in its order to `judge`, which must not change the queue.
  template <typename Judge>
  void Visit(Judge judge) {
    absl::InlinedVector<Cursor, 8> cursors;
    for (Line* line : waiting_) cursors.push_back({line->time, line->turn, line});
    std::make_heap(cursors.begin(), cursors.end(), kLater);
    while (!cursors.empty()) {
      std::pop_heap(cursors.begin(), cursors.end(), kLater);
      Cursor& cursor = cursors.back();
      Line* const line = cursor.line;
      const auto item = line->items.begin() + static_cast<ptrdiff_t>(cursor.position);
      const Verdict verdict = judge(std::as_const(*item));
      if (verdict == Verdict::kStop) break;
      if (verdict == Verdict::kDrop) {
        line->items.erase(item);
        --size_;
      } else {
        cursor.time += line->cost / line->weight;
        cursor.turn = ++turns_;
      }
      if (verdict == Verdict::kTake) {
        line->items.erase(item);
        line->turn = cursor.turn;
        Charge(line);
      } else if (verdict == Verdict::kKeep) {
        ++cursor.position;
      }
      if (cursor.position == line->items.size()) {
        cursors.pop_back();
      } else {
        std::push_heap(cursors.begin(), cursors.end(), kLater);
      }
    }
    Tidy();
  }

  /// Takes out, without a turn, those of which `goes` says so.
  template <typename Goes>
  std::vector<Item> RemoveIf(Goes goes) {
    std::vector<Item> removed;
    for (Line* line : waiting_) {
      auto end = line->items.begin();
      for (Item& item : line->items) {
        if (goes(std::as_const(item))) {
          removed.push_back(std::move(item));
        } else {
          if (&*end != &item) *end = std::move(item);
          ++end;
        }
      }
      line->items.erase(end, line->items.end());
    }
    size_ -= removed.size();
    Tidy();
    return removed;
  }

 private:
  // Those that come and go all the time cost no memory to be had and given back.
  static constexpr size_t kSpare = 8;

  /// What waits of a flow.
  struct Line {
    explicit Line(const Flow* its_flow) : flow(its_flow) {}
    const Flow* const flow;
    std::deque<Item> items;
    /// When its next turn starts, in what a flow of weight 1 has been given until then.
    double time = 0;
    /// Among those whose turns start at one time.
    uint64_t turn = 0;
    double cost = 1;
    int weight = 1;
  };
  /// How far a visit has come.
  struct Cursor {
    double time;
    uint64_t turn;
    Line* line;
    size_t position = 0;
    const Cursor* operator->() const { return this; }
  };

  static constexpr auto kLater = [](const auto& one, const auto& other) {
    return std::pair(one->time, one->turn) > std::pair(other->time, other->turn);
  };

  Line& LineOf(const Flow* flow) {
    if (const auto found = lines_.find(flow); found != lines_.end()) return *found->second;
    if (lines_.size() >= most_lines_) {
      absl::erase_if(lines_, [this](const auto& entry) {
        return entry.second->items.empty() && entry.second->time <= time_;
      });
      most_lines_ = std::max(kSpare, 2 * lines_.size());
    }
    return *lines_.emplace(flow, std::make_unique<Line>(flow)).first->second;
  }

  /// Behind those that wait at the same time.
  void Rank(Line* line) {
    line->turn = ++turns_;
    waiting_.push_back(line);
    std::push_heap(waiting_.begin(), waiting_.end(), kLater);
  }

  void Charge(Line* line) {
    time_ = std::max(time_, line->time);
    line->time += line->cost / line->weight;
    latest_ = std::max(latest_, line->time);
    if (--size_ == 0) time_ = latest_;
  }

  /// After what changed more than the first in the order.
  void Tidy() {
    std::erase_if(waiting_, [this](const Line* line) {
      if (line->items.empty()) weights_ -= line->weight;
      return line->items.empty();
    });
    std::make_heap(waiting_.begin(), waiting_.end(), kLater);
    if (size_ == 0) time_ = latest_;
  }

  absl::flat_hash_map<const Flow*, std::unique_ptr<Line>> lines_;
  /// With how many of them those that need not be remembered go.
  size_t most_lines_ = kSpare;
  /// A heap of those that have something waiting, the next one first.
  std::vector<Line*> waiting_;
  /// Of these.
  int weights_ = 0;
  size_t size_ = 0;
  /// When the last turn started.
  double time_ = 0;
  /// When the last turn of the flow that is furthest ahead ends.
  double latest_ = 0;
  uint64_t turns_ = 0;
};

}  // namespace twi::sql
