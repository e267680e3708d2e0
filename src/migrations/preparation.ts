import type { Session } from '../database/connection.ts';
import { readTimescale, requireTimescale } from '../database/requirements.ts';
import { type LedgerEntry, readRollbacks } from '../ledger/ledger.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { readScripts } from './scripts.ts';
import { filesOf, type MigrationPair, sqlFile } from './source.ts';
import type { Script } from './statements.ts';
import type { Step } from './step.ts';

/** Reads the files of both ways and finds them fit to run, before the first of them does. */
export async function prepareUp(
  session: Session,
  pairs: readonly MigrationPair[],
): Promise<readonly Step[]> {
  if (pairs.length === 0) return [];
  // Asked for ahead, so that the server answers while the files are parsed.
  const facts = pairs.some(({ migration }) => /timescaledb/i.test(migration.text))
    ? readTimescale(session)
    : undefined;
  facts?.catch(() => {});
  const scripts = await readScripts(filesOf(pairs));
  if (facts && scripts.some(({ needsTimescale }) => needsTimescale)) requireTimescale(await facts);
  const scriptOf = new Map(scripts.map((script) => [script.file, script]));
  return pairs.flatMap((pair): Step[] => {
    const { version, description, migration } = pair;
    const script = scriptOf.get(migration);
    const { checksum } = migration;
    return script ? [{ direction: 'up', version, description, checksum, script, pair }] : [];
  });
}

export async function prepareDown(
  session: Session,
  entries: readonly LedgerEntry[],
): Promise<readonly Step[]> {
  if (entries.length === 0) return [];
  const texts = await readRollbacks(
    session,
    entries.map(({ version }) => version),
  );
  const files = entries.map(({ version, description }) => {
    const name = `${version}_${description}_rollback.sql`;
    return { file: sqlFile(name, texts.get(version) ?? ''), kind: 'rollback' as const };
  });
  const scripts = await readScripts(files);
  refuseIrreversible(scripts);
  return entries.flatMap(({ version, description, rollbackChecksum }, index): Step[] => {
    const script = scripts[index];
    const step = { version, description, checksum: rollbackChecksum, pair: undefined };
    return script ? [{ direction: 'down', ...step, script }] : [];
  });
}

function refuseIrreversible(scripts: readonly Script[]): void {
  const problems = scripts.flatMap(({ file, irreversible }) =>
    irreversible
      ? [{ message: `${file.name} says that there is no way back`, evidence: [irreversible] }]
      : [],
  );
  if (problems.length > 0) throw new CryptosenseDbError('faulty-statements', problems);
}

export function refuseTogether(steps: readonly Step[]): void {
  const problems = steps.flatMap(({ script: { file, transaction, begin } }) => {
    if (transaction === 'none') {
      return [
        {
          message: `${file.name} says "-- Transaction: none" and cannot be part of a single transaction`,
          hint: 'run without --single-transaction',
        },
      ];
    }
    if (begin === 'begin') return [];
    return [
      {
        message: `${file.name} asks for a transaction of its own kind: ${begin}`,
        hint: 'run without --single-transaction',
      },
    ];
  });
  if (problems.length > 0) throw new CryptosenseDbError('faulty-statements', problems);
}
