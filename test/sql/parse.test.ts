import { expect, it, vi } from 'vitest';
import { loadGrammar } from '../../src/sql/parse.ts';

it('a statement that the memory of the parser does not hold is a fault, and leaves a sound parser and nothing printed', async () => {
  const { exitCode } = process;
  const log = vi.spyOn(console, 'log');
  const { parse } = await loadGrammar();
  const text = `select 1;\n\n  select ${'a,'.repeat(3_000_000)}a`;
  expect(parse(text)).toEqual({
    fault: { kind: 'too-large', index: 13, bytes: text.length - 9 },
  });
  expect(process.exitCode).toBe(exitCode);
  expect((await loadGrammar()).parse('select 1')).toMatchObject({ statements: [{ index: 0 }] });
  expect(log).not.toHaveBeenCalled();
}, 120_000);

it('an INSERT of any length is one statement with its text, and a fault in its rows has its place', async () => {
  const { parse } = await loadGrammar();
  const rows = ",(1,'é',now(),null)".repeat(20_000) + ",(2,'b',-1.5,'🚀')".repeat(600_000);
  const insert = `insert into t values (0,'a',default,null)${rows} on conflict do nothing`;
  const { statements } = parse(`select 1; ${insert}; select 2`);
  expect(statements?.map(({ index, text }) => [index, text.length])).toEqual([
    [0, 8],
    [10, insert.length],
    [12 + insert.length, 8],
  ]);
  expect(statements?.[1]?.text === insert).toBe(true);
  const start = insert.indexOf(',(2,');
  const faulty = `${insert.slice(0, start)},(1 frm 2)${insert.slice(start)}`;
  expect(parse(faulty).fault).toMatchObject({ kind: 'syntax', index: start + 4 });
});

it('without a grammar of a newer server, the grammar is that of this package', async () => {
  expect(await loadGrammar({ serverVersion: 99 })).toMatchObject({ version: 15 });
});
