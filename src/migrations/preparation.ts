import type { Session } from '../database/connection.ts';
import { readTimescale, requireTimescale } from '../database/requirements.ts';
import type { LedgerEntry } from '../ledger/ledger.ts';
import { faultyFiles } from '../runtime/errors.ts';
import type { Finding } from '../runtime/findings.ts';
import { readRecordedRollbacks } from './rollbacks.ts';
import {
  type GrammarOptions,
  type ReadingOptions,
  readRollbackScripts,
  readScripts,
} from './scripts.ts';
import type { MigrationPair } from './source.ts';
import { needsOwnSession, type Step } from './step.ts';

/**
 * The steps that apply the pairs. Nothing runs before every migration and every rollback is parsed.
 * Throws `faulty-statements`, and `server-unsuitable` for a server that lacks TimescaleDB.
 */
export async function prepareUp(
  session: Session,
  pairs: readonly MigrationPair[],
  options: GrammarOptions,
): Promise<readonly Step[]> {
  if (pairs.length === 0) return [];
  // The server answers while the files are parsed.
  const facts = pairs.some(({ up }) => /timescaledb/i.test(up.text))
    ? readTimescale(session)
    : undefined;
  facts?.catch(() => {});
  const scripts = await readScripts(pairs, grammarFor(session, options));
  const needsTimescale = scripts.some(({ up, down }) => up.needsTimescale || down.needsTimescale);
  if (facts && needsTimescale) requireTimescale(await facts);
  return pairs.flatMap((pair, index): Step[] => {
    const { version, description, up } = pair;
    const script = scripts[index]?.up;
    const irreversible = scripts[index]?.down.irreversible;
    const { checksum } = up;
    const step = { version, description, checksum, pair, irreversible };
    return script ? [{ direction: 'up', ...step, script }] : [];
  });
}

/**
 * The steps that roll the entries back, with the rollbacks that the ledger records.
 * Throws `ledger-untrusted` for a recorded text that another role may have written, and `faulty-statements`, also for a
 * rollback that says that it cannot be undone.
 */
export async function prepareDown(
  session: Session,
  {
    entries,
    pairs,
  }: { readonly entries: readonly LedgerEntry[]; readonly pairs: readonly MigrationPair[] },
  options: GrammarOptions,
): Promise<readonly Step[]> {
  if (entries.length === 0) return [];
  const files = await readRecordedRollbacks(session, entries, pairs);
  const scripts = await readRollbackScripts(files, grammarFor(session, options));
  refuse(
    scripts.flatMap(({ file, irreversible: reason }) =>
      reason === undefined ? [] : [{ file: file.name, rule: 'irreversible', reason }],
    ),
  );
  return entries.flatMap(({ version, description, rollbackChecksum }, index): Step[] => {
    const script = scripts[index];
    const step = { version, description, checksum: rollbackChecksum, pair: undefined };
    return script ? [{ direction: 'down', ...step, script }] : [];
  });
}

function grammarFor({ server }: Session, { beforeGrammar }: GrammarOptions): ReadingOptions {
  return { beforeGrammar, serverVersion: Math.floor(server.version / 10_000) };
}

/** Throws `faulty-statements` for files that cannot share one transaction with others. */
export function refuseTogether(steps: readonly Step[]): void {
  refuse(
    steps.flatMap(({ script }): readonly Finding[] => {
      const { file, transaction, begin } = script;
      if (steps.length > 1 && needsOwnSession(script)) {
        return [{ file: file.name, rule: 'own-session' }];
      }
      const place = { file: file.name, rule: 'own-transaction' } as const;
      if (transaction === 'none') return [{ ...place, begin: undefined }];
      return begin === 'begin' ? [] : [{ ...place, begin }];
    }),
  );
}

function refuse(findings: readonly Finding[]): void {
  if (findings.length > 0) throw faultyFiles('faulty-statements', findings);
}
