/** `error`: the server refuses it, it loses rows, or it blocks others for as long as a table is large. */
export type Severity = 'error' | 'warning';

/** What is known of a rule. `docs/lint.md` says why it is there. */
export interface Rule {
  readonly severity: Severity;
  /** A table up to this size, in bytes of its rows, makes a warning of it. Only a live database knows. */
  readonly warningUpTo?: number;
}

/** To read or write as much takes a fraction of a second. */
const small = 10_000_000;
const lasting = { severity: 'error', warningUpTo: small } as const;
const error = { severity: 'error' } as const;
const warning = { severity: 'warning' } as const;

/** The rules of this package. */
export const ownRules = {
  'lint-directive': error,
  'unused-allow': warning,
  // TimescaleDB
  'hypertable-unique': error,
  'hypertable-concurrently': error,
  'hypertable-index': lasting,
  'hypertable-using-index': error,
  'compressed-hypertable': error,
  'aggregate-loses-rows': error,
  'unbounded-refresh': warning,
  // Section 3 of the specification
  'table-name': error,
  'plural-table-name': warning,
  'column-name': error,
  'index-name': error,
  'foreign-key-name': error,
  'foreign-key-type': error,
  'primary-key-type': error,
  'price-type': error,
  'json-type': warning,
  'soft-delete': warning,
  'table-comment': warning,
  // Rollbacks
  'rollback-leaves': error,
} as const satisfies Readonly<Record<string, Rule>>;

/** Rules of squawk, by its names. `files`: both files of a pair, or the migration alone. */
export interface SquawkRule extends Rule {
  readonly files: 'both' | 'migration';
  /** Tables that it leaves out: those that the file itself has created, or truncated too. */
  readonly exempt?: 'new' | 'empty';
}

/** About locks, scans and rewrites. */
const ofTable = { files: 'both', exempt: 'empty' } as const;
/** About programs that use the table. */
const ofMigration = { files: 'migration', exempt: 'new' } as const;

/** The rules of squawk that run. */
export const squawkRules = {
  'adding-field-with-default': { ...lasting, ...ofTable },
  'adding-foreign-key-constraint': { ...lasting, ...ofTable },
  'adding-not-nullable-field': { ...lasting, ...ofTable },
  'adding-required-field': { severity: 'error', warningUpTo: 0, ...ofTable },
  'adding-serial-primary-key-field': { ...lasting, ...ofTable },
  'ban-alter-domain-with-add-constraint': { ...error, files: 'both' },
  'ban-char-field': { ...warning, files: 'migration' },
  'ban-drop-column': { ...warning, ...ofMigration },
  'ban-drop-database': { ...error, files: 'both' },
  'ban-drop-table': { ...warning, ...ofMigration },
  'ban-duplicate-column-assignments': { ...error, files: 'both' },
  'ban-truncate-cascade': { ...error, files: 'both' },
  'changing-column-type': { ...lasting, ...ofTable },
  'constraint-missing-not-valid': { ...lasting, ...ofTable },
  'disallowed-unique-constraint': { ...lasting, ...ofTable },
  'identifier-too-long': { ...error, files: 'both' },
  'prefer-timestamp-tz': { ...error, files: 'migration' },
  'renaming-column': { ...warning, ...ofMigration },
  'renaming-table': { ...warning, ...ofMigration },
  'require-concurrent-index-creation': { ...lasting, ...ofTable },
  'require-concurrent-partition-detach': { ...lasting, ...ofTable },
  'require-concurrent-reindex': { ...lasting, ...ofTable },
} as const satisfies Readonly<Record<string, SquawkRule>>;

/** The rules of squawk that do not run. `docs/lint.md` says why not. */
export const squawkRulesOff = [
  'ban-concurrent-index-creation-in-transaction',
  'ban-create-domain-with-constraint',
  'ban-drop-not-null',
  'ban-uncommitted-transaction',
  'prefer-bigint-over-int',
  'prefer-bigint-over-smallint',
  'prefer-identity',
  'prefer-repack',
  'prefer-robust-stmts',
  'prefer-text-field',
  'require-concurrent-index-deletion',
  'require-enum-value-ordering',
  'require-lock-timeout',
  'require-statement-timeout',
  'require-table-schema',
  'transaction-nesting',
] as const;

type OwnRuleName = keyof typeof ownRules;
export type SquawkRuleName = keyof typeof squawkRules;
export type RuleName = OwnRuleName | SquawkRuleName;

const all: Readonly<Record<string, Rule>> = { ...ownRules, ...squawkRules };

export function isRuleName(name: string): name is RuleName {
  return Object.hasOwn(all, name);
}

export function isSquawkRule(name: string): name is SquawkRuleName {
  return Object.hasOwn(squawkRules, name);
}

/** How bad a finding is, where the tables have that many bytes of rows together; undefined: it is not known. */
export function severityOf(rule: RuleName, bytes: number | undefined): Severity {
  const { severity, warningUpTo }: Rule = isSquawkRule(rule) ? squawkRules[rule] : ownRules[rule];
  return bytes !== undefined && warningUpTo !== undefined && bytes <= warningUpTo
    ? 'warning'
    : severity;
}
