import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { Answer, InspectResult } from '../../src/inspect/inspect.ts';
import { width } from '../../src/runtime/excerpt.ts';
import { renderInspection, renderInspectionPage } from '../../src/ui/inspect.ts';

const look = { chalk: new Chalk({ level: 0 }), columns: 80 };
const answer: Answer = {
  question: 'locks',
  title: 'who waits',
  columns: [
    { key: 'session', label: 'session', kind: 'tree' },
    { key: 'waitMs', label: 'waits', kind: 'ms' },
    { key: 'bytes', label: 'size', kind: 'bytes' },
    { key: 'ratio', label: 'hits', kind: 'ratio' },
    { key: 'at', label: 'at', kind: 'moment' },
    { key: 'isStale', label: 'stale', kind: 'flag' },
    { key: 'statement', label: 'statement', kind: 'sql', isOptional: true },
  ],
  isAnswered: true,
  rows: [
    {
      depth: 0,
      session: '1 (app)',
      waitMs: null,
      bytes: 1_200_000,
      ratio: 0.99996,
      at: new Date('2026-01-02T03:04:05Z'),
      isStale: true,
      statement: `select '\u001b[31m<b>'\n${'x'.repeat(60)}`,
    },
    {
      depth: 1,
      session: '2 (job)',
      waitMs: 2_500,
      bytes: 0,
      ratio: 1,
      at: null,
      isStale: false,
      statement: null,
    },
  ],
  rowsLeftOut: 0,
  advice: ['End it: `select pg_terminate_backend(1)`.'],
  unseen: [],
  empty: 'No session waits.',
};
const resultOf = (...answers: readonly Answer[]): InspectResult => ({
  target: 'localhost/crypto',
  at: new Date('2026-01-02T03:04:05Z'),
  answers,
});
const linesOf = (result: InspectResult) => renderInspection(result, look).split('\n');

describe('renderInspection', () => {
  it('draws a tree, values by their kind, and the advice below', () => {
    expect(linesOf(resultOf(answer)).slice(0, 5)).toEqual([
      'session      waits    size    hits  at                stale',
      '1 (app)          –  1.2 MB  99.99%  2026-01-02 03:04  yes',
      '  └ 2 (job)  2.5 s     0 B    100%  –                 no',
      '→ End it: `select pg_terminate_backend(1)`.',
      '',
    ]);
  });

  it('leaves optional columns out on a narrow terminal, and shows control characters nowhere', () => {
    const wide = renderInspection(resultOf(answer), { ...look, columns: undefined });
    expect(wide).toContain('statement');
    expect(wide).not.toContain('\u001b');
    expect(renderInspection(resultOf(answer), look)).not.toContain('statement');
  });

  it('keeps every line within the terminal', () => {
    const long = {
      ...answer,
      question: 'indexes',
      title: 'long '.repeat(30).trim(),
      advice: ['word '.repeat(60).trim()],
      unseen: ['text '.repeat(60).trim()],
    } as const;
    for (const columns of [80, 120]) {
      const text = renderInspection(resultOf(long, answer), {
        ...look,
        columns,
      });
      for (const line of text.split('\n')) expect(width(line)).toBeLessThanOrEqual(columns);
    }
  });

  it('cuts a long statement in a pipe, and no other text', () => {
    const text = 'y'.repeat(300);
    const columns = [
      { key: 'name', label: 'name', kind: 'text' },
      { key: 'statement', label: 'statement', kind: 'sql' },
    ] as const;
    const rows = [{ name: text, statement: text }];
    const piped = renderInspection(resultOf({ ...answer, columns, rows }), {
      ...look,
      columns: undefined,
    });
    expect(piped).toContain(`\n${text}  ${text.slice(0, 119)}…\n`);
  });

  it('says what no row means, and that there is nothing to do', () => {
    expect(linesOf(resultOf({ ...answer, rows: [], advice: [] }))).toEqual([
      'No session waits.',
      '',
      'localhost/crypto, 2026-01-02 03:04 UTC: nothing to do',
      '',
    ]);
  });

  it('does not say that there is nothing to do where a question has no answer', () => {
    const unanswered = {
      ...answer,
      isAnswered: false,
      rows: [],
      advice: [],
      unseen: ['It took long.'],
    };
    const text = renderInspection(resultOf(unanswered), look);
    expect(text).toContain('unseen: It took long.');
    expect(text).toContain('nothing to do, 1 question without an answer');
  });

  it('shows twenty rows, or as many as the limit left, and how many there are', () => {
    const rows = Array.from({ length: 25 }, (_, index) => ({ session: String(index) }));
    expect(renderInspection(resultOf({ ...answer, rows }), look)).toContain(
      '… and 5 rows more: --limit 25',
    );
    expect(renderInspection(resultOf({ ...answer, rows, rowsLeftOut: 7 }), look)).toContain(
      '… and 7 rows more: --limit 32',
    );
  });
});

describe('renderInspectionPage', () => {
  it('has a section for each question, escapes what it shows, and loads nothing', () => {
    const other = { ...answer, question: 'slow', rows: [], unseen: ['`a` & b'] } as const;
    const page = renderInspectionPage(resultOf(answer, other));
    expect(page).toContain('<section id="locks">');
    expect(page).toContain('<a href="#slow">');
    expect(page).toContain('<code>select pg_terminate_backend(1)</code>');
    expect(page).toContain('<p>Unseen: <code>a</code> &amp; b</p>');
    expect(page).toContain('2 things to do');
    expect(page).not.toContain('<b>');
    expect(page).not.toMatch(/<script|https?:|@import|url\(/);
  });
});
