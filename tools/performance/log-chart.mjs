// Series and lines over two logarithmic axes, as an SVG that reads well on light and dark pages.
import { escaped } from './svg-text.mjs';

const WIDTH = 760;
const HEIGHT = 440;
const LEFT = 70;
const TOP = 58;
const BOTTOM = 52;

/**
 * @typedef {{ name: string, own: boolean, dashed?: boolean, line?: boolean, points: { x: number, y: number, label?: string }[] }} Series
 * @param {{ title: string, x: { title: string, ticks: number[], from: number, to: number }, y: { title: string, ticks: number[], from: number, to: number }, legend: number, series: Series[] }} chart
 *   legend: width of the room for names at the right; own: ours, or a peer's
 */
export function logChart({ title, x, y, legend, series }) {
  const right = WIDTH - legend;
  const across = (value) => LEFT + ((right - LEFT) * Math.log(value / x.from)) / Math.log(x.to / x.from);
  const down = (value) =>
    HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * Math.log(value / y.from)) / Math.log(y.to / y.from);
  const at = (number) => number.toFixed(1);
  const grid = [
    ...x.ticks.map(
      (tick) => `  <path d="M${at(across(tick))} ${TOP}V${HEIGHT - BOTTOM}" stroke="#dde3ea"/>
  <text x="${at(across(tick))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${tick}</text>`,
    ),
    ...y.ticks.map(
      (tick) => `  <path d="M${LEFT} ${at(down(tick))}H${right}" stroke="#dde3ea"/>
  <text x="${LEFT - 8}" y="${at(down(tick) + 4)}" text-anchor="end">${tick}</text>`,
    ),
  ];
  const heights = apart(series.map(({ points }) => down(points.at(-1).y)));
  const drawn = series.map(({ name, own, dashed, line = true, points }, index) => {
    const color = own ? OWN[index % OWN.length] : PEERS[index % PEERS.length];
    const path = points.map((point, i) => `${i ? 'L' : 'M'}${at(across(point.x))} ${at(down(point.y))}`).join('');
    const end = points.at(-1);
    return [
      ...(line
        ? [
            `  <path d="${path}" fill="none" stroke="${color}" stroke-width="${own ? 3 : 1.8}"${dashed ? ' stroke-dasharray="5 4"' : ''}/>`,
          ]
        : []),
      ...(dashed ? [] : points).map(
        (point) =>
          `  <circle cx="${at(across(point.x))}" cy="${at(down(point.y))}" r="4" fill="${color}"><title>${escaped(`${name}: ${point.label ?? point.y}`)}</title></circle>`,
      ),
      `  <path d="M${at(across(end.x) + 6)} ${at(down(end.y))}L${right + 10} ${at(heights[index])}" stroke="${color}" stroke-width="0.8" opacity="0.6"/>`,
      `  <text x="${right + 14}" y="${at(heights[index] + 4)}" fill="${color}"${own ? ' font-weight="600"' : ''}>${escaped(name)}</text>`,
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="${escaped(title)}">
  <rect width="${WIDTH}" height="${HEIGHT}" rx="8" fill="#f8fafc"/>
  <g fill="#1c2733">
  <text x="16" y="26" font-size="14" font-weight="600">${escaped(title)}</text>
  <text x="16" y="46" fill="#51606f">${escaped(y.title)}</text>
  <text x="${right}" y="${HEIGHT - 12}" text-anchor="end" fill="#51606f">${escaped(x.title)}</text>
${[...grid, ...drawn].join('\n')}
  </g>
</svg>
`;
}

const OWN = ['#0f6f7c', '#2a8f4f'];
const PEERS = ['#a8742c', '#b0476b', '#6a55b0', '#51606f', '#c0392b', '#8a6d00', '#3f6fb5'];

/** The heights, moved so far that names do not cover one another. */
function apart(heights) {
  const order = heights.map((height, index) => ({ height, index })).sort((a, b) => a.height - b.height);
  for (const [place, entry] of order.entries()) {
    if (place > 0) entry.height = Math.max(entry.height, order[place - 1].height + 17);
  }
  const excess = Math.max(0, (order.at(-1)?.height ?? 0) - (HEIGHT - BOTTOM));
  return order.toSorted((a, b) => a.index - b.index).map(({ height }) => height - excess);
}
