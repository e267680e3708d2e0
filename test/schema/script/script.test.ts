import { expect, it } from 'vitest';
import { printScript } from '../../../src/schema/script/script.ts';
import type { ScriptSource } from '../../../src/schema/script/source.ts';
import type { SchemaObject } from '../../../src/schema/snapshot/snapshot.ts';

const schemaPublic: SchemaObject = {
  kind: 'schema',
  name: 'public',
  facts: { comment: 'standard public schema' },
  parts: [],
};

const print = (objects: readonly SchemaObject[], given: Partial<ScriptSource> = {}) =>
  printScript({
    snapshot: { format: 1, owners: false, grants: false, objects: [schemaPublic, ...objects] },
    routines: new Map(),
    dependencies: [],
    attachments: [],
    others: [],
    ...given,
  });

const job = (name: string, facts: SchemaObject['facts']): SchemaObject => ({
  kind: 'job',
  name,
  facts: { every: '1 day', retries: -1, 'retry period': '01:00:00', ...facts },
  parts: [],
});

it('is one transaction with a head that says what it is, and no time or place', () => {
  const table: SchemaObject = {
    kind: 'table',
    name: 'public.coins',
    facts: { comment: "It's coins" },
    parts: [
      { kind: 'column', name: 'id', facts: { type: 'bigint', 'not null': true } },
      { kind: 'column', name: '"Name"', facts: { type: 'text', default: "'x'::text" } },
      { kind: 'constraint', name: 'coins_pkey', facts: { definition: 'PRIMARY KEY (id)' } },
    ],
  };
  expect(print([table])).toEqual({
    leftOut: [],
    text: `-- The schema of a database. It has no rows.
-- It makes an empty database have the same schema: psql -v ON_ERROR_STOP=1 -d DATABASE -f FILE
-- The roles that it names have to be there.

BEGIN;

SET LOCAL client_encoding = 'UTF8';
SET LOCAL client_min_messages = 'error';
SET LOCAL standard_conforming_strings = ON;
SET LOCAL intervalstyle = 'postgres';
SET LOCAL check_function_bodies = FALSE;
SET LOCAL search_path = 'public';

-- Tables

CREATE TABLE public.coins (
    id bigint NOT NULL,
    "Name" text DEFAULT 'x'::text,
    CONSTRAINT coins_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE public.coins IS 'It''s coins';

COMMIT;
`,
  });
});

it('has the version of an extension in a comment, so that a server with another one makes it', () => {
  const extension: SchemaObject = {
    kind: 'extension',
    name: 'pg_trgm',
    facts: { version: '1.6', schema: 'public' },
    parts: [],
  };
  expect(print([extension]).text).toContain(
    'CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public; -- version 1.6\n',
  );
});

it('calls the functions of TimescaleDB in the schema that has them', () => {
  const extension: SchemaObject = {
    kind: 'extension',
    name: 'timescaledb',
    facts: { version: '2.28.3', schema: '"Time S"' },
    parts: [],
  };
  const policy = job('policy_retention on public.prices', { config: '{"drop_after":"5 years"}' });
  expect(print([extension, policy]).text).toContain(
    `SELECT FROM "Time S".alter_job(
    "Time S".add_retention_policy('public.prices', drop_after => INTERVAL '5 years', schedule_interval => INTERVAL '1 day'),
    max_runtime => INTERVAL '0',
    max_retries => -1,
    retry_period => INTERVAL '01:00:00'
);`,
  );
});

it('names a policy that it cannot add', () => {
  const { text, leftOut } = print([job('policy_tiering on public.prices', {})]);
  expect(leftOut).toEqual([
    {
      object: 'job policy_tiering on public.prices',
      reason: 'no call is known that adds this policy',
    },
  ]);
  expect(text).not.toContain('alter_job');
});

it('adds a job whose procedure has an odd name', () => {
  const { text } = print([job('"a on b"."c.d (2)" (3)', { 'fixed schedule': true })]);
  expect(text).toContain(`public.add_job('"a on b"."c.d (2)"', INTERVAL '1 day'),`);
});

it('names objects that a snapshot does not have, one a line', () => {
  const { text, leftOut } = print([], { others: ['server "two\nlines"'] });
  expect(leftOut).toEqual([
    { object: 'server "two\nlines"', reason: 'a snapshot does not have it' },
  ]);
  expect(text).toContain(
    '-- Left out:\n--   server "two lines": a snapshot does not have it\n\nBEGIN;',
  );
});
