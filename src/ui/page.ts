export interface PageSection {
  /** Unique in the page; the table of contents links to it. */
  readonly id: string;
  readonly heading: string;
  /** What the section says first. */
  readonly lead?: string | undefined;
  /** Markup. Texts in it have gone through `escapeHtml`. */
  readonly html: string;
}

export interface Page {
  readonly title: string;
  /** Where and when, below the title. */
  readonly subtitle: string;
  readonly sections: readonly PageSection[];
}

/** One HTML document without anything from outside: no script, no font, no image that is not drawn in it. */
export function renderPage({ title, subtitle, sections }: Page): string {
  const links = sections.map(({ id, heading }) => `<a href="#${id}">${escapeHtml(heading)}</a>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(subtitle)}</p>
</header>
${sections.length > 1 ? `<nav>${links.join(' ')}</nav>\n` : ''}<main>
${sections.map(renderSection).join('\n')}
</main>
</body>
</html>
`;
}

function renderSection({ id, heading, lead, html }: PageSection): string {
  const first = lead === undefined ? '' : `<p>${escapeHtml(lead)}</p>\n`;
  return `<section id="${id}">\n<h2>${escapeHtml(heading)}</h2>\n${first}${html}\n</section>`;
}

/** A cell is a text, or a number with the text that shows it. */
export interface HtmlCell {
  readonly text: string;
  readonly isNumber?: boolean;
  /** Good, doubtful and bad have colours; each text says so too. */
  readonly tone?: 'good' | 'warning' | 'bad' | undefined;
}

/** A table that scrolls sideways on a narrow screen. */
export function renderHtmlTable(
  head: readonly (string | HtmlCell)[],
  rows: readonly (readonly HtmlCell[])[],
): string {
  const heads = head.map(renderHead).join('');
  const lines = rows.map((row) => `<tr>${row.map(renderCell).join('')}</tr>`);
  return `<div class="scroll"><table><thead><tr>${heads}</tr></thead><tbody>\n${lines.join('\n')}\n</tbody></table></div>`;
}

function renderHead(cell: string | HtmlCell): string {
  const { text, isNumber = false } = typeof cell === 'string' ? { text: cell } : cell;
  return `<th scope="col"${isNumber ? ' class="number"' : ''}>${escapeHtml(text)}</th>`;
}

function renderCell({ text, isNumber = false, tone }: HtmlCell): string {
  const classes = [...(isNumber ? ['number'] : []), ...(tone ? [tone] : [])].join(' ');
  return `<td${classes === '' ? '' : ` class="${classes}"`}>${escapeHtml(text)}</td>`;
}

export function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot' };
  return text.replaceAll(/[&<>"]/g, (character) => `&${names[character]};`);
}

const style = `
:root {
  --text: light-dark(#1c2330, #e4e8ef); --dim: light-dark(#5b6575, #98a2b3);
  --ground: light-dark(#ffffff, #12161d); --panel: light-dark(#f5f7fa, #1a202a);
  --line: light-dark(#dde2ea, #2c3542); --accent: light-dark(#1f5fbf, #7db0ff);
  --good: light-dark(#1c7a3e, #6bd08f); --warning: light-dark(#8f5b00, #f0b95a); --bad: light-dark(#b3261e, #ff8a80);
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif;
}
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 2.5rem 0 0.5rem; font-size: 1.1rem; }
p { margin: 0.4rem 0; }
header p, section > p:first-of-type { color: var(--dim); }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin-top: 1rem; padding: 0.6rem 0; border-block: 1px solid var(--line); }
a { color: var(--accent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.75rem 0.35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 500; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
td code, p code, li code { font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere; }
.good { color: var(--good); } .warning { color: var(--warning); } .bad { color: var(--bad); }
ul.advice { margin: 0.75rem 0; padding: 0.6rem 1rem 0.6rem 2rem; background: var(--panel); border-left: 3px solid var(--accent); }
svg { display: block; max-width: 100%; height: auto; }
@media print { nav { display: none; } }
`;
