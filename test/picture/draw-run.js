// Draws docs/run.svg, the picture in README.md: `npm run picture`. It runs the built command line on the embedded
// engine, in a pseudo terminal, and turns what a user would see into an SVG with a light and a dark scheme.
// The pseudo terminal is made by `script` of util-linux, so this runs on Linux.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const columns = 84;
const runs = ['migrate up --embedded', 'seed --env dev --now 2026-01-01T12:00:00Z --embedded'];
/** Lines of which there are many in a row; the picture shows the first and last of them. */
const repetitive = [/^up {3}\d{8}_/, /^seed \d\d_/, /^[a-z_]+ +[\d,]+$/];
const shown = { first: 3, last: 1 };

const font = { size: 14, advance: 8.43, lineHeight: 20 };
const margin = { x: 22, top: 52, bottom: 20 };

/** SGR parameters that the command line uses, as a class of the picture. `null` ends what came before. */
const styles = {
  0: null,
  1: 'bold',
  2: 'dim',
  22: null,
  31: 'red',
  32: 'green',
  33: 'yellow',
  36: 'cyan',
  39: null,
};

const schemes = {
  light: {
    ...{ back: '#f6f8fa', edge: '#d1d9e0', text: '#1f2328', dim: '#59636e' },
    ...{ red: '#b62324', green: '#116329', yellow: '#7d4e00', cyan: '#0b5cad' },
  },
  dark: {
    ...{ back: '#151b23', edge: '#3d444d', text: '#e6edf3', dim: '#9198a1' },
    ...{ red: '#ff7b72', green: '#56d364', yellow: '#e3b341', cyan: '#79c0ff' },
  },
};

const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-picture-'));
try {
  const lines = runs.flatMap((args, index) => [
    ...(index === 0 ? [] : [[]]),
    [
      { text: '$ ', style: 'dim' },
      { text: `npx cryptosense-db ${args}`, style: 'bold' },
    ],
    ...repetitive.reduce(fold, linesOf(runInTerminal(args))),
  ]);
  writeFileSync('docs/run.svg', draw(lines));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Everything that the command writes to a terminal, with its control sequences. */
function runInTerminal(args) {
  const program = resolve('bin/cryptosense-db.js');
  const command = `stty cols ${columns} rows 40; '${process.execPath}' '${program}' ${args}`;
  const { CI: _ci, NO_COLOR: _noColor, ...environment } = process.env;
  return execFileSync('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd: folder,
    env: { ...environment, TERM: 'xterm-256color' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The lines that stay on the screen, each as pieces of one style. */
function linesOf(output) {
  return output
    .replace(/\n*$/, '')
    .split(/\r?\n/)
    .map((line) => piecesOf(line.slice(endOfErased(line))));
}

/** The spinner redraws its line: what stays begins behind the last "erase to the end of the line". */
function endOfErased(line) {
  const erase = '\x1b[0K';
  const last = line.lastIndexOf(erase);
  return last < 0 ? 0 : last + erase.length;
}

function piecesOf(line) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what control sequences are made of
  const words = line.split(/(\x1b\[[?\d;]*[A-Za-z])/);
  const pieces = [];
  let style = null;
  for (const word of words) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    const [, parameter, command] = /^\x1b\[([?\d;]*)([A-Za-z])$/.exec(word) ?? [];
    if (command === undefined) {
      if (word !== '') pieces.push({ text: word, style });
    } else if (command === 'm') {
      if (!(parameter in styles)) throw new Error(`the picture has no style for SGR ${parameter}`);
      style = styles[parameter];
    } else if (!(command === 'G' && pieces.length === 0)) {
      throw new Error(`the picture does not know the control sequence ${JSON.stringify(word)}`);
    }
  }
  return pieces;
}

function fold(lines, pattern) {
  const matches = lines.map((pieces) => pattern.test(textOf(pieces)));
  const from = matches.indexOf(true);
  const to = matches.lastIndexOf(true) + 1;
  const hidden = to - from - shown.first - shown.last;
  if (hidden <= 1) return lines;
  return [
    ...lines.slice(0, from + shown.first),
    [{ text: `… ${hidden} more lines`, style: 'dim' }],
    ...lines.slice(to - shown.last),
  ];
}

function textOf(pieces) {
  return pieces.map(({ text }) => text).join('');
}

function draw(lines) {
  const width = Math.ceil(margin.x * 2 + columns * font.advance);
  const height = margin.top + lines.length * font.lineHeight + margin.bottom;
  const rows = lines.map((pieces, row) => {
    const y = margin.top + (row + 1) * font.lineHeight - 6;
    return `<text y="${y}">${spansOf(pieces)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="A run of cryptosense-db in a terminal">
<style>
text { font: ${font.size}px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre }
.bold { font-weight: 700 }
${rulesOf(schemes.light)}
@media (prefers-color-scheme: dark) {
${rulesOf(schemes.dark)}
}
</style>
<rect class="frame" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>
<circle cx="24" cy="24" r="6" fill="#ff5f57"/><circle cx="44" cy="24" r="6" fill="#febc2e"/><circle cx="64" cy="24" r="6" fill="#28c840"/>
${rows.join('\n')}
</svg>
`;
}

function rulesOf({ back, edge, text, ...colours }) {
  return [
    `.frame { fill: ${back}; stroke: ${edge} }`,
    `text { fill: ${text} }`,
    ...Object.entries(colours).map(([name, colour]) => `.${name} { fill: ${colour} }`),
  ].join('\n');
}

/** Words are placed by their column and given their width, so that columns align in every font. */
function spansOf(pieces) {
  let column = 0;
  const spans = pieces.flatMap(({ text, style }) =>
    text.split(/( {2,})/).map((part) => {
      const at = column;
      column += part.length;
      if (part.trim() === '') return '';
      const indent = part.length - part.trimStart().length;
      const word = part.trim();
      const x = round(margin.x + (at + indent) * font.advance);
      const length = round(word.length * font.advance);
      const name = style === null ? '' : ` class="${style}"`;
      return `<tspan x="${x}" textLength="${length}"${name}>${escapeXml(word)}</tspan>`;
    }),
  );
  return spans.join('');
}

function round(number) {
  return Math.round(number * 100) / 100;
}

function escapeXml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
