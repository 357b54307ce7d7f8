#pragma once

namespace twi::server {

/// How the page of the status looks: the browser's own fonts, light or dark as its user likes it,
/// and down to 360 px of width, where tables scroll in boxes of their own.
inline constexpr char kStatusStyle[] = R"css(
:root { color-scheme: light dark;
  --bg: #f4f5f8; --card: #fff; --ink: #1a2230; --dim: #697386; --edge: #e3e7ee; --rest: #eceff4;
  --blue: #2f6fde; --teal: #0d8a84; --violet: #7a5af0; --amber: #b87503; --red: #cf3341; --green: #14804a; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #0e131a; --card: #161d27; --ink: #e4e9f1; --dim: #8f9bad; --edge: #253042; --rest: #222c3a;
  --blue: #6ba4ff; --teal: #4ccfc4; --violet: #a78bfa; --amber: #f0b454; --red: #ff6f79; --green: #4cc38a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 20px; background: var(--bg); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; margin-bottom: 16px; }
h1 { margin: 0; font-size: 24px; letter-spacing: -0.02em; }
.badge { padding: 2px 10px; border-radius: 99px; font-weight: 600; font-size: 12px; color: var(--card); }
.badge.good { background: var(--green); } .badge.bad { background: var(--red); }
nav { margin-left: auto; display: flex; flex-wrap: wrap; gap: 4px 14px; }
a { color: var(--blue); text-decoration: none; } a:hover { text-decoration: underline; }
.facts { flex-basis: 100%; margin: 0; color: var(--dim); display: flex; flex-wrap: wrap; gap: 2px 16px;
  overflow-wrap: anywhere; }
.facts strong { flex-basis: 100%; color: var(--red); }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 14px 16px;
  min-width: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 12px; }
.tile { display: flex; flex-direction: column; overflow: hidden; }
.tile h2 { margin: 0; font-size: 12px; font-weight: 500; color: var(--dim); }
.value { margin: 2px 0 0; font-size: 22px; font-weight: 650; letter-spacing: -0.02em; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.value small { font-size: 12px; font-weight: 400; letter-spacing: 0; color: var(--dim); }
.note { margin: 0 0 8px; font-size: 12px; color: var(--dim); }
.tile .spark { width: 100%; height: 30px; margin-top: auto; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 12px; margin: 12px 0; }
figure { margin: 0; }
figcaption, section.card > h2 { font-size: 14px; font-weight: 600; margin: 0 0 10px; }
h2 small { font-weight: 400; font-size: 12px; color: var(--dim); }
.plot { position: relative; background: linear-gradient(var(--edge), var(--edge)) 0 50% / 100% 1px no-repeat;
  border-top: 1px solid var(--edge); border-bottom: 1px solid var(--edge); }
.plot span { position: absolute; left: 0; padding: 0 4px 0 0; border-radius: 3px; background: var(--card);
  opacity: 0.85; font-size: 11px; color: var(--dim); }
.top { top: 2px; } .bottom { bottom: 2px; }
.axis { display: flex; justify-content: space-between; margin: 4px 0 0; font-size: 11px; color: var(--dim); }
svg { display: block; overflow: hidden; }
.chart { width: 100%; height: 130px; }
.spark { width: 110px; height: 24px; }
.line { fill: none; stroke: currentColor; stroke-width: 1.6px; stroke-linejoin: round; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
.ground { fill: currentColor; opacity: 0.14; }
.blue { color: var(--blue); } .teal { color: var(--teal); } .violet { color: var(--violet); }
.amber { color: var(--amber); } .red, b.bad { color: var(--red); } b.good { color: var(--green); }
b { font-weight: 600; } .dim { color: var(--dim); }
.bar { display: flex; height: 10px; border-radius: 5px; overflow: hidden; background: var(--rest); margin: auto 0 4px; }
.bar .busy { background: var(--blue); } .bar .coming { background: var(--amber); }
.bar .idle { background: var(--blue); opacity: 0.35; }
section.card { margin-bottom: 12px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 12px; font-weight: 500; color: var(--dim); }
th, td { padding: 5px 14px 5px 0; white-space: nowrap; border-bottom: 1px solid var(--edge); }
tr:last-child td { border-bottom: 0; }
th:last-child, td:last-child { padding-right: 0; }
td .spark { width: 100%; min-width: 110px; }
.num { text-align: right; }
.chips { display: flex; flex-wrap: wrap; gap: 6px; margin: 0; }
.chips span { background: var(--rest); border-radius: 6px; padding: 2px 8px; overflow-wrap: anywhere; }
code { font-size: 12px; color: var(--dim); }
footer { margin-top: 4px; font-size: 12px; color: var(--dim); }
@media (max-width: 480px) { body { padding: 12px; } nav { margin-left: 0; flex-basis: 100%; order: 3; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; }
  .tile:last-child:nth-child(odd) { grid-column: span 2; } .card { padding: 12px; } .charts { margin: 8px 0; gap: 8px; }
  .operation { white-space: normal; } th, td { padding-right: 12px; font-size: 13px; }
  section.card { margin-bottom: 8px; } .value { font-size: 21px; } }
)css";

}  // namespace twi::server
