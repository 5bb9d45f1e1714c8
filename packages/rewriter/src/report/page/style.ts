/** The page's style: a printed sheet by day, the same by night, one column on a phone. */

export const style = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --sheet: #ffffff; --ink: #1f2023; --quiet: #686a70; --line: #e4e2dd; --band: #f5f3ef;
  --accent: #0b6b74; --original: #a8763e; --layer: #3f66a8; --norm: #8a55a0; --good: #1f7a4d; --good-wash: #e5f3ea; --bad: #b3261e; --bad-wash: #fbe9e7;
  --wait: #8a6100; --wait-wash: #fbf1da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #151618; --sheet: #1c1d20; --ink: #e9e7e2; --quiet: #9b9da3; --line: #313339; --band: #212327;
    --accent: #5cc6cf; --original: #d8a468; --layer: #8fb0ea; --norm: #cf9be3; --good: #74d19e; --good-wash: #173426; --bad: #ff8f85; --bad-wash: #3d1d1a;
    --wait: #e8bd5c; --wait-wash: #362b12;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif;
}
main { max-width: 1040px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.015em; margin: 4px 0 6px; text-wrap: balance; }
h2 { font-size: 19px; letter-spacing: -0.01em; margin: 0 0 4px; }
p { margin: 0; }
code, .mono { font-family: ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: 0.9em; }
.quiet { color: var(--quiet); }
.number { font-variant-numeric: tabular-nums; }
a { color: inherit; }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }

header .eyebrow { display: flex; justify-content: space-between; align-items: center; gap: 16px; color: var(--quiet); font-size: 13px; margin-bottom: 28px; }
.mark { font-weight: 650; color: var(--ink); letter-spacing: -0.01em; }
.mark::before { content: ''; display: inline-block; width: 10px; height: 10px; margin-right: 8px; border-radius: 3px; background: linear-gradient(135deg, var(--original) 50%, var(--accent) 50%); }
.verdict { display: inline-block; padding: 2px 10px; border-radius: 999px; font-size: 13px; font-weight: 600; white-space: nowrap; }
.verdict.good { color: var(--good); background: var(--good-wash); }
.verdict.bad { color: var(--bad); background: var(--bad-wash); }
.verdict.wait { color: var(--wait); background: var(--wait-wash); }
header .lead { font-size: 17px; max-width: 46em; text-wrap: pretty; }
header .facts { margin-top: 10px; color: var(--quiet); font-size: 13.5px; overflow-wrap: anywhere; }

.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 28px 0 12px; }
.tile { background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; min-width: 0; }
.tile dt { color: var(--quiet); font-size: 13px; }
.tile dd { margin: 0; }
.tile .figure { font-size: 25px; font-weight: 620; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; line-height: 1.35; }
.tile .figure small { font-size: 15px; font-weight: 450; color: var(--quiet); letter-spacing: 0; }
.tile .note { color: var(--quiet); font-size: 13px; }
.meter { display: flex; height: 5px; border-radius: 3px; overflow: hidden; margin-top: 9px; background: var(--line); gap: 1px; }
.meter i { display: block; background: var(--accent); }
.meter i.before { background: var(--original); }
.meter i.skipped { background: var(--original); opacity: .6; }

section { background: var(--sheet); border: 1px solid var(--line); border-radius: 12px; padding: 22px 24px; margin-top: 16px; }
section > .intro { color: var(--quiet); max-width: 52em; margin-bottom: 14px; text-wrap: pretty; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; color: var(--quiet); margin-bottom: 8px; }
.legend span { display: inline-flex; align-items: center; gap: 7px; }
.legend i { width: 9px; height: 9px; border-radius: 50%; border: 2px solid var(--original); }
.legend i.rewritten { background: var(--accent); border-color: var(--accent); }
.legend i.limit { border: 0; border-radius: 0; height: 2px; width: 12px; background: var(--quiet); opacity: .6; }

.scroll { overflow-x: auto; margin: 0 -24px; padding: 0 24px; }
svg { display: block; }
.error-chart { width: 100%; min-width: 720px; height: auto; }
.error-chart text { fill: var(--quiet); font-size: 12px; font-family: inherit; }
.error-chart .power { font-size: 9px; }
.grid { stroke: var(--line); stroke-width: 1; }
.band { fill: var(--band); }
.stem { stroke: var(--quiet); stroke-width: 1.2; opacity: .5; }
.limit { stroke: var(--quiet); stroke-width: 1.6; opacity: .55; }
.original { fill: var(--sheet); stroke: var(--original); stroke-width: 1.8; }
.rewritten { fill: var(--accent); }
.failed .rewritten { fill: var(--bad); }
.failed .stem { stroke: var(--bad); opacity: 1; }
.target { fill: transparent; }
.module:hover .target, .module:focus-visible .target { fill: var(--accent); opacity: .12; }
.error-strip { width: 120px; height: 14px; }

.graphs { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 12px 28px; margin-top: 10px; }
.graphs figure { margin: 0; min-width: 0; max-width: 100%; }
.graphs figcaption { font-size: 13px; color: var(--quiet); max-width: 34em; margin-bottom: 6px; }
.graphs figcaption b { color: var(--ink); font-weight: 600; }
.graph { --tone: var(--quiet); }
.graph text { fill: var(--ink); font-size: 12px; font-family: inherit; text-anchor: middle; }
.graph .note { fill: var(--quiet); font-size: 10.5px; }
.graph rect { fill: var(--sheet); stroke: var(--tone); stroke-width: 1.3; }
.graph .edge { fill: none; stroke: var(--tone); stroke-width: 1.2; opacity: .55; }
.graph .node:hover rect { stroke-width: 2.4; }
.layer { --tone: var(--layer); }
.adapter { --tone: var(--original); }
.norm { --tone: var(--norm); }
.composition { --tone: var(--quiet); }
.operator { --tone: var(--accent); }
.graph .operator rect { fill: var(--accent); }
.graph .operator text { fill: var(--sheet); }
.legend i.part { border-radius: 3px; border-color: var(--tone); }
.legend i.part.operator { background: var(--tone); }
h3 { font-size: 14.5px; font-weight: 550; margin: 14px 0 0; }

table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 500; color: var(--quiet); font-size: 12.5px; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
th:last-child, td:last-child { padding-right: 0; }
tbody tr:last-child > td { border-bottom-color: transparent; }
.right { text-align: right; }
td.right, .right.number { font-variant-numeric: tabular-nums; }
tr.group th { padding-top: 18px; color: var(--ink); font-weight: 550; white-space: normal; overflow-wrap: anywhere; }
tr:target td { background: var(--band); }
.name { overflow-wrap: anywhere; }
td.name { min-width: 11em; }
td.types { white-space: nowrap; }
tr.detail td { padding-top: 0; }
tr:has(+ tr.detail) td { border-bottom: 0; }
.tag { display: inline-block; font-size: 12px; color: var(--quiet); border: 1px solid var(--line); border-radius: 5px; padding: 0 6px; white-space: nowrap; }
.status { white-space: nowrap; font-size: 13px; }
.status::before { content: ''; display: inline-block; width: 7px; height: 7px; border-radius: 50%; margin-right: 7px; background: var(--good); vertical-align: 1px; }
.status.skipped::before { background: var(--wait); }
.status.failed::before { background: var(--bad); }
.status.failed { color: var(--bad); font-weight: 600; }
.status.already::before { background: var(--quiet); }
.why { color: var(--quiet); font-size: 13px; overflow-wrap: anywhere; }
.errors { display: flex; align-items: center; gap: 10px; }
.made { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; font-size: 14px; margin: 10px 0 0; }
.made dt { color: var(--quiet); }
.made dd { margin: 0; overflow-wrap: anywhere; }
details { margin-top: 12px; color: var(--quiet); font-size: 13.5px; }
summary { cursor: pointer; }
details ol { margin: 6px 0 0; padding-left: 22px; }
details li { margin: 3px 0; overflow-wrap: anywhere; }
details.layer { margin: 0; border-top: 1px solid var(--line); padding: 7px 0; font-size: 14px; color: inherit; }
details.layer > summary { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; }
details.layer > summary::before { content: '▸'; color: var(--quiet); }
details.layer[open] > summary::before { content: '▾'; }
details.layer > summary code { overflow-wrap: anywhere; }
details.layer > summary .note { color: var(--quiet); font-size: 13px; margin-left: auto; }
details.layer > table { margin: 4px 0 12px; }
ul.notes { margin: 12px 0 0; padding-left: 18px; color: var(--quiet); font-size: 13.5px; }

@media (max-width: 820px) {
  .tiles { grid-template-columns: repeat(2, 1fr); }
}
@media (max-width: 680px) {
  main { padding: 20px 14px 48px; }
  h1 { font-size: 24px; }
  header .lead { font-size: 16px; }
  section { padding: 18px 16px; }
  .scroll { margin: 0 -16px; padding: 0 16px; }
  .tile { padding: 12px 13px; }
  .tile .figure { font-size: 21px; }
  table, tbody, td, tr.group, tr.group th { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: flex; flex-wrap: wrap; gap: 1px 12px; padding: 9px 0; border-bottom: 1px solid var(--line); }
  tbody:last-child tr:last-child { border-bottom: 0; padding-bottom: 0; }
  tr.group { padding: 16px 0 6px; }
  tr.group th { padding: 0; border: 0; }
  td, td:last-child, td.right { border: 0; padding: 0; text-align: left; font-size: 13px; color: var(--quiet); }
  td.name { flex: 1 1 calc(100% - 120px); min-width: 0; color: var(--ink); font-size: 14px; }
  td.end { order: 1; color: var(--ink); margin-left: auto; }
  tr:has(+ tr.detail) { border-bottom: 0; padding-bottom: 0; }
  tr.detail { padding-top: 0; }
  td.inline, td.why, td.error { order: 2; }
  td.why { flex: 1 1 auto; }
  td.error { color: var(--ink); flex: 1 1 100%; }
  td.wide { order: 3; flex: 1 1 100%; color: var(--ink); }
  td[data-label]::before { content: attr(data-label) ' '; }
  td:empty { display: none; }
  .made { grid-template-columns: 1fr; gap: 0; }
  .made dd { margin-bottom: 8px; }
}
@media print {
  body { background: none; }
  section, .tile { break-inside: avoid; }
}
`;
