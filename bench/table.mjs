/** What was measured: a line each as it comes, one table and one file at the end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HERE } from './processes.mjs';

const rows = [];

export function row(what, value, measured, goal, met) {
  rows.push({ what, value, measured, goal, met });
  console.log(`  ${what}: ${measured}`);
}

export const figure = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
export const range = ({ ratio, least, most }) => `${figure(ratio)} (${figure(least)} to ${figure(most)})`;

export function print() {
  const table = rows.map(({ what, measured, goal, met }) => {
    const verdict = met === undefined ? '' : met ? 'met' : 'missed';
    return [what, measured, goal, verdict];
  });
  const titles = ['', 'measured', 'goal', ''];
  const widths = titles.map((title, i) => Math.max(title.length, ...table.map((cells) => cells[i].length)));
  const line = (cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  console.log(`\n${[line(titles), rule, ...table.map(line)].join('\n')}\n`);
}

export function save() {
  mkdirSync(join(HERE, 'results'), { recursive: true });
  writeFileSync(join(HERE, 'results/latest.json'), `${JSON.stringify(rows, null, 2)}\n`);
}
