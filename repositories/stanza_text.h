#pragma once

#include <string>
#include <utility>
#include <vector>

#include "repositories/repository.h"

namespace twi::repositories {

/// Names that a stanza's text replaces, and by what.
using Replacements = std::vector<std::pair<std::string, std::string>>;

/// `part.x` -> its text, and what `:page.after` stands for, if it is known.
Replacements TextsOf(const Repository& repository, const std::string& after = "");

/// `(q.time, q.serial_id) > (:page.after_0, :page.after_1)`.
std::string AfterKey(const Stanza& stanza);

/// ` (line 12)`: where the database finds fault with the stanza's statement `text`, at a character
/// counted from 1; "" for 0. The words of the line instead, when it may be a part's.
std::string PlaceOf(const std::string& text, int character, const Stanza& stanza, bool has_parts);

}  // namespace twi::repositories
