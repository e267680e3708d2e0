import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { messageOf } from '../runtime/errors.ts';
import { type Diagnosis, type Reading, type Topic, unseen } from './rule.ts';

export interface Finding extends Diagnosis {
  readonly rule: string;
}

/** Rules whose facts cannot be seen, or only in part. */
export interface UnseenRules {
  readonly topic: string;
  readonly rules: readonly string[];
  readonly reason: string;
  /** What shows them, mostly a GRANT. */
  readonly remedy: string;
}

export interface Judged {
  readonly findings: readonly Finding[];
  readonly unseen: readonly UnseenRules[];
  /** Rules that found nothing. */
  readonly sound: readonly string[];
  /** Rules about things that the database does not have, such as jobs without TimescaleDB. */
  readonly notApplicable: readonly string[];
}

/** Reads a topic and judges it by its rules. The type of its facts is forgotten. */
export interface Examiner<Source> {
  readonly rules: readonly string[];
  readonly examine: (
    source: Source,
    options: { readonly now: Date; readonly asked: readonly string[] },
  ) => Promise<Judged>;
}

const nothing: Judged = { findings: [], unseen: [], sound: [], notApplicable: [] };

export function examinerOf<Facts, Source>({
  name,
  read,
  rules,
}: Topic<Facts, Source>): Examiner<Source> {
  return {
    rules: rules.map((rule) => rule.name),
    examine: async (source, { now, asked }) => {
      const judges = rules.filter((rule) => asked.includes(rule.name));
      if (judges.length === 0) return nothing;
      const names = judges.map((rule) => rule.name);
      const found = await read(source).catch(refusedReading);
      switch (found.kind) {
        case 'absent':
          return { ...nothing, notApplicable: names };
        case 'unseen': {
          const { reason, remedy } = found;
          return { ...nothing, unseen: [{ topic: name, rules: names, reason, remedy }] };
        }
        case 'read': {
          const findings = judges.flatMap((rule) =>
            [rule.judge(found.facts, { now }) ?? []]
              .flat()
              .map((diagnosis) => ({ rule: rule.name, ...diagnosis })),
          );
          const hidden = found.hidden
            .map((each) => ({
              ...{ topic: name, reason: each.reason, remedy: each.remedy },
              rules: names.filter((rule) => each.rules.includes(rule)),
            }))
            .filter((each) => each.rules.length > 0);
          const open = new Set([
            ...findings.map(({ rule }) => rule),
            ...hidden.flatMap((each) => each.rules),
          ]);
          return {
            ...nothing,
            ...{ findings, unseen: hidden, sound: names.filter((each) => !open.has(each)) },
          };
        }
        default:
          return found satisfies never;
      }
    },
  };
}

const queryCanceled = '57014';

/** A managed server may refuse a view that others show. */
function refusedReading(error: unknown): Reading<never> {
  const state = sqlState(error);
  if (state === sqlErrorCodes.insufficientPrivilege) {
    return unseen(messageOf(error), 'grant pg_monitor to ROLE, or ask as an owner');
  }
  if (state === queryCanceled) {
    return unseen('the server did not answer in time', 'try again when it has less to do');
  }
  throw error;
}
