import { describe, expect, it } from 'vitest';
import { parseText } from '../support/scripts.ts';

const create = 'CREATE TABLE t (a integer);';
const drop = 'DROP TABLE t;';

describe('a file with both halves of a migration', () => {
  it.each<[tool: string | undefined, up: string, down: string]>([
    ['dbmate', '-- migrate:up', '-- migrate:down'],
    ['dbmate', '-- migrate:up transaction:false', '--migrate:down transaction:false'],
    ['goose', '-- +goose Up', '-- +goose Down'],
    ['goose', '-- +goose up\n-- +goose StatementBegin', '-- +goose StatementEnd\n-- +goose down'],
    ['sql-migrate', '-- +migrate Up', '-- +migrate Down notransaction'],
    ['micrate', '-- +micrate Up', '-- +micrate Down'],
    ['rambler', '-- rambler up', '-- rambler down'],
    ['node-pg-migrate', '-- Up Migration', '-- Down Migration'],
    ['Play evolutions', '# --- !Ups', '# --- !Downs'],
    ['Play evolutions', '-- !Ups', '-- !Downs'],
    ['shmig', '-- ====  UP  ====', '-- ==== DOWN ===='],
    ['tern', '-- a table', '---- create above / drop below ----'],
    ['MyBatis Migrations', '-- // a table', '-- //@UNDO'],
    ['MyBatis Migrations', '-- a table', '-- @UNDO'],
    [undefined, '-- Up', '-- Down'],
    [undefined, '--- @UP ---', '--- @DOWN ---'],
    [undefined, '-- +tool up', '-- +tool down'],
    [undefined, '-- tool:up', '-- tool:down'],
    [undefined, '-- +sqlup', '-- +sqldown'],
    [undefined, '-- Up Script', '-- Down Script'],
  ])('of %s is refused by name, between %j and %j', (tool, up, down) => {
    const text = `-- Migration: x\n\n${up}\n${create}\n\n${down}\n${drop}\n`;
    const mark = down.split('\n').at(-1) ?? '';
    const line = text.slice(0, text.indexOf(mark)).split('\n').length;
    const place = { file: 'f.sql', line, column: 1, lineText: mark };
    expect(parseText(text).findings).toEqual([
      { ...place, rule: 'other-tool', tool, mark, direction: 'up' },
    ]);
    expect(parseText(text, 'down').findings).toMatchObject([
      { rule: 'other-tool', tool, direction: 'down' },
    ]);
  });

  it('of Atlas is refused in a migration for its down.sql, and in a rollback for its migration.sql', () => {
    const text = `-- atlas:txtar\n\n-- migration.sql --\n${create}\n\n-- down.sql --\n${drop}\n`;
    const finding = { rule: 'other-tool', tool: 'Atlas' };
    expect(parseText(text).findings).toMatchObject([{ ...finding, line: 6 }]);
    expect(parseText(text, 'down').findings).toMatchObject([{ ...finding, line: 3 }]);
  });

  it.each([
    `-- migrate:up\r\n${create}\r\n-- migrate:down\r\n${drop}`,
    `-- migrate:up\nCREATE TABLE t (a integer)\n-- migrate:down\nDROP TABLE t`,
    `BEGIN;\n-- +goose Up\n${create}\nCOMMIT;\n  -- +goose Down\nBEGIN;\n${drop}\nCOMMIT;`,
  ])('is refused before any other fault in it: %j', (text) => {
    expect(parseText(text).findings).toMatchObject([{ rule: 'other-tool' }]);
  });
});

describe('a file with one half', () => {
  it.each([
    `-- migrate:up\n${create}`,
    `-- +goose Up\n${create}`,
    `-- Up\n${create}`,
    `-- Down\n${create}`,
    "CREATE TYPE d AS ENUM (\n-- up\n'u',\n-- down\n'd');",
    "INSERT INTO t VALUES ('\n-- migrate:down\n');",
    `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\n-- migrate:up\n-- migrate:down\nSELECT 'a' $$;`,
    `-- the price goes up and down\n${create}\n-- scale it up\n-- and scale it down again\n${drop}`,
    `/* -- migrate:down */ ${create}`,
    `BEGIN;\n-- set up\n${create}\n-- tear down\n${drop}\nCOMMIT;`,
    `-- see migration.sql\n${create}`,
  ])('runs when its comments are no marks of another tool: %j', (text) => {
    expect(parseText(text).findings).toEqual([]);
  });

  it('runs as a rollback too', () => {
    expect(parseText(`-- migrate:down\n${drop}`, 'down').findings).toEqual([]);
  });
});
