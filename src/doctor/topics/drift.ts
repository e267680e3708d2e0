import type { MigrateOptions } from '../../migrations/migrate.ts';
import { plural } from '../../runtime/amounts.ts';
import { isError } from '../../runtime/errors.ts';
import { type CheckResult, check } from '../../schema/schema.ts';
import { absent, type Diagnosis, type Reading, reading, type Topic, unseen } from '../rule.ts';
import { unreadHistory } from './history.ts';

/** The file of a snapshot, where one is named, and the database to compare with it. */
export interface DriftSource
  extends Pick<MigrateOptions, 'target' | 'migrations' | 'rollbacks' | 'signal'> {
  readonly snapshot: string | undefined;
}

export type Drift = Pick<CheckResult, 'against' | 'drift'>;

export const drift: Topic<Drift, DriftSource> = {
  name: 'drift of the schema',
  read: readDrift,
  rules: [{ name: 'schema-drift', judge: judgeDrift }],
};

async function readDrift({ snapshot, ...options }: DriftSource): Promise<Reading<Drift>> {
  if (snapshot === undefined) return absent;
  try {
    return reading(await check({ ...options, against: snapshot }));
  } catch (error) {
    if (!isError(error, 'history-mismatch')) return unreadHistory(error);
    const [problem] = error.problems;
    return unseen(problem?.message ?? error.message, 'cryptosense-db migrate status');
  }
}

const shown = 5;

function judgeDrift({ against, drift: found }: Drift): Diagnosis | undefined {
  if (found.length === 0) return undefined;
  const lines = found.slice(0, shown).map(({ difference: { change, kind, name }, definedIn }) => {
    const place = definedIn.length === 0 ? '' : `, last named in ${definedIn.join(', ')}`;
    return `${change}: ${kind} ${name}${place}`;
  });
  const others = found.length - lines.length;
  return {
    severity: 'warning',
    message: `${plural(found.length, 'object')} of the schema ${found.length === 1 ? 'is' : 'are'} not as in ${against}`,
    evidence: others > 0 ? [...lines, `and ${others} more`] : lines,
    hint: `cryptosense-db schema check --against ${against}`,
  };
}
