// A horizontal bar chart as an SVG that reads well on light and dark pages.
import { escaped } from './svg-text.mjs';

const WIDTH = 720;
const LABELS = 230;
const ROW = 34;
const TOP = 44;

/** @param {{ title: string, bars: { name: string, value: number, own: boolean }[] }} chart own: ours, or a peer's */
export function barChart({ title, bars }) {
  const height = TOP + bars.length * ROW + 12;
  const most = Math.max(...bars.map(({ value }) => value));
  const rows = bars.map(({ name, value, own }, index) => {
    const y = TOP + index * ROW;
    const width = ((WIDTH - LABELS - 90) * value) / most;
    return `  <text x="${LABELS - 12}" y="${y + 17}" text-anchor="end">${escaped(name)}</text>
  <rect x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="24" rx="3" fill="${own ? '#0f6f7c' : '#a8742c'}"/>
  <text x="${(LABELS + width + 8).toFixed(1)}" y="${y + 17}">${value}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="14" role="img" aria-label="${escaped(title)}">
  <rect width="${WIDTH}" height="${height}" rx="8" fill="#f8fafc"/>
  <g fill="#1c2733">
  <text x="16" y="27" font-weight="600">${escaped(title)}</text>
${rows.join('\n')}
  </g>
</svg>
`;
}
