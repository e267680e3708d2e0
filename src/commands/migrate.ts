import type { TargetFlags } from '../config.ts';
import { environments } from '../ledger/marks.ts';
import type {
  BaselineOptions,
  DownOptions,
  MigrateOptions,
  PlanOptions,
  RedoOptions,
  RepairOptions,
  RunResult,
  UpOptions,
} from '../migrations/options.ts';
import type { ScaffoldOptions } from '../migrations/scaffold.ts';
import { templateNames } from '../migrations/templates.ts';
import { CryptosenseDbError, findingsOf, isError } from '../runtime/errors.ts';
import type { LintOptions, Severity, VerifyOptions } from '../schema/schema.ts';
import { renderAnnotations, renderFaultAnnotations, renderLint } from '../ui/lint.ts';
import { renderPlan } from '../ui/plan.ts';
import {
  renderBaseline,
  renderGenerated,
  renderRepair,
  renderRun,
  renderScaffold,
  renderStatus,
} from '../ui/render.ts';
import { renderVerify } from '../ui/schema.ts';
import { renderSqlScript } from '../ui/sql-script.ts';
import { argument, defineCommand, flag, type Group, repeatable, type Tools } from './command.ts';
import {
  folderFlags,
  forceFlag,
  keepWebAssemblyPlain,
  migrationFlags,
  onDatabase,
  onNamedDatabase,
  passwordCommandFlag,
  runFlags,
  scratchFlags,
  targetFlags,
} from './flags.ts';
import { duration, positiveNumber, version } from './values.ts';

const migrate = () => import('../migrations/migrate.ts');

const dryRunFlag = {
  dryRun: flag('--dry-run', 'check and list the migrations; change nothing'),
};

const scriptFlag = {
  script: flag('--sql', 'with --dry-run: print the SQL that would run, for psql'),
};

const replicaFlag = {
  waitForReplicasMs: flag(
    '--wait-for-replicas [time]',
    'then wait until replicas have replayed all (default: 60s); exit with code 1 if one has not',
    { ...duration, bare: '60s' },
  ),
};

/** Exit code 1 where a replica is not in time. */
function answerReplicas({ replicaWait }: RunResult, { answerNo }: Pick<Tools, 'answerNo'>): void {
  if (replicaWait && !replicaWait.hasAll) answerNo();
}

const up = defineCommand<UpOptions & TargetFlags & { readonly types?: string | undefined }>()({
  name: 'up',
  summary: 'apply pending migrations, oldest first',
  flags: {
    to: flag('--to <version>', 'stop after this version', version),
    steps: flag('--steps <n>', 'apply at most this many migrations', positiveNumber),
    singleTransaction: flag('--single-transaction', 'apply all in one transaction, or none'),
    ...dryRunFlag,
    ...scriptFlag,
    allowOutOfOrder: flag(
      '--allow-out-of-order',
      'also apply migrations older than the newest applied one',
    ),
    environment: flag('--env <name>', 'mark the database', { choices: environments }),
    types: flag('--types <file>', 'then write the Kysely types of the database'),
    ...replicaFlag,
    ...runFlags,
  },
  conflicts: [
    ['to', 'steps'],
    ['types', 'dryRun'],
    ['waitForReplicasMs', 'dryRun'],
  ],
  examples: [
    ['cryptosense-db migrate up', 'all pending migrations'],
    ['cryptosense-db migrate up --to 20251007_120400', 'up to the holdings'],
    ['cryptosense-db migrate up --env production', 'the first deployment'],
    ['cryptosense-db migrate up --wait-for-replicas 5m', 'and their replay'],
    ['cryptosense-db migrate up --dry-run --sql > run.sql', 'the SQL, to sign off'],
    ['cryptosense-db migrate up --embedded', 'without a server'],
  ],
  run: async ({ types: file, ...given }, tools) => {
    const options = onDatabase(given, tools);
    if (file === undefined) {
      const run = await (await migrate()).up(options);
      if (given.script) return tools.output.product(run, renderSqlScript);
      tools.output.result(run, renderRun);
      return answerReplicas(run, tools);
    }
    const { upWithTypes } = await import('../types/after-migration.ts');
    const run = await upWithTypes({ ...options, file });
    tools.output.result(run, (done, look) => renderRun(done, look) + renderGenerated(done.types));
    answerReplicas(run, tools);
  },
});

const down = defineCommand<DownOptions & TargetFlags>()({
  name: 'down',
  summary: 'roll back applied migrations, newest first; only one by default',
  flags: {
    to: flag('--to <version>', 'roll back all migrations newer than this version', version),
    steps: flag('--steps <n>', 'roll back this many migrations', positiveNumber),
    all: flag('--all', 'roll back all migrations'),
    ...dryRunFlag,
    ...scriptFlag,
    ...forceFlag,
    ...replicaFlag,
    ...runFlags,
  },
  conflicts: [
    ['to', 'steps', 'all'],
    ['waitForReplicasMs', 'dryRun'],
  ],
  examples: [
    ['cryptosense-db migrate down', 'the newest migration'],
    ['cryptosense-db migrate down --to 20251007_120400', 'back to the holdings'],
    ['cryptosense-db migrate down --all --dry-run', 'list all, change nothing'],
    ['cryptosense-db migrate down --dry-run --sql > back.sql', 'the SQL, to sign off'],
  ],
  run: async (given, tools) => {
    const run = await (await migrate()).down(onDatabase(given, tools));
    if (given.script) return tools.output.product(run, renderSqlScript);
    tools.output.result(run, renderRun);
    answerReplicas(run, tools);
  },
});

const redo = defineCommand<RedoOptions & TargetFlags>()({
  name: 'redo',
  summary: 'roll back the newest migration and apply it again from its file',
  flags: {
    steps: flag('--steps <n>', 'redo this many migrations', positiveNumber),
    ...forceFlag,
    ...replicaFlag,
    ...runFlags,
  },
  examples: [['cryptosense-db migrate redo', 'after a change of the newest migration']],
  run: async (given, tools) => {
    const run = await (await migrate()).redo(onDatabase(given, tools));
    tools.output.result(run, renderRun);
    answerReplicas(run, tools);
  },
});

const plan = defineCommand<
  Omit<PlanOptions, 'target'> &
    Pick<TargetFlags, 'passwordCommand'> & { readonly onClone?: string | undefined }
>()({
  name: 'plan',
  summary: 'apply pending migrations to a copy, and say what each locks, rewrites and writes',
  flags: {
    onClone: flag('--on-clone <url>', 'the copy: a database that is marked as dev or test'),
    to: flag('--to <version>', 'stop after this version', version),
    steps: flag('--steps <n>', 'apply at most this many migrations', positiveNumber),
    allowOutOfOrder: flag(
      '--allow-out-of-order',
      'also apply migrations older than the newest applied one',
    ),
    passwordCommand: passwordCommandFlag,
    ...migrationFlags,
  },
  conflicts: [['to', 'steps']],
  notes: [
    'The copy is a restored backup (backup restore latest --into shop_copy), or a clone made with CREATE DATABASE …',
    'TEMPLATE and marked with db mark test. The migrations stay applied in it: to measure again, make a new copy.',
    '"migrate up --dry-run" lists what is pending, and needs no copy.',
  ],
  examples: [
    ['cryptosense-db migrate plan --on-clone postgresql://localhost/shop_copy', 'all pending'],
  ],
  run: async ({ onClone: url, ...given }, tools) => {
    if (url === undefined) throw noCopy();
    const result = await (await migrate()).plan(onDatabase({ ...given, url }, tools));
    tools.output.result(result, renderPlan);
  },
});

function noCopy() {
  return new CryptosenseDbError('no-target', {
    message: 'no copy is named to measure the migrations in',
    hint: 'name it with --on-clone URL; or list the pending migrations with: cryptosense-db migrate up --dry-run',
  });
}

const status = defineCommand<MigrateOptions & TargetFlags & { readonly check?: boolean }>()({
  name: 'status',
  summary: 'show the state of every migration',
  flags: {
    check: flag(
      '--check',
      'exit with code 1 unless all migrations are applied and unchanged, and their indexes valid',
    ),
    ...targetFlags,
    ...folderFlags,
  },
  examples: [
    ['cryptosense-db migrate status', 'show a table'],
    ['cryptosense-db migrate status --check --quiet', 'check in a pipeline'],
  ],
  run: async ({ check, ...given }, tools) => {
    const result = await (await migrate()).status(onDatabase(given, tools));
    tools.output.result(result, renderStatus);
    if (check && !result.isCurrent) tools.answerNo();
  },
});

const create = defineCommand<
  Pick<ScaffoldOptions, 'template' | 'migrations' | 'rollbacks'> & {
    readonly words: readonly string[];
  }
>()({
  name: 'new',
  summary: 'write a migration and its rollback from a template',
  arguments: { words: argument('<description...>', 'what the migration does, in a few words') },
  flags: {
    template: flag('--template <name>', 'what to start from', {
      choices: templateNames,
      default: 'migration',
    }),
    migrations: flag('--migrations <dir>', 'folder of migrations of a schema of your own'),
    rollbacks: flag('--rollbacks <dir>', 'folder of rollbacks of a schema of your own'),
  },
  examples: [
    ['cryptosense-db migrate new add_price_alerts --template table', 'a table'],
    ['cryptosense-db migrate new "fill in countries" --template data', 'data'],
  ],
  run: async ({ words, ...options }, { output }) => {
    const { create: write } = await migrate();
    const { authorName } = await import('../runtime/child-process.ts');
    const author = authorName(process.cwd());
    const beforeGrammar = keepWebAssemblyPlain;
    const description = words.join(' ');
    output.result(await write({ ...options, description, author, beforeGrammar }), renderScaffold);
  },
});

const repair = defineCommand<RepairOptions & TargetFlags>()({
  name: 'repair',
  summary: 'record changed and renamed files in the history; no migration runs',
  arguments: {
    versions: argument('[versions...]', 'versions to record (default: all that differ)', version),
  },
  flags: {
    forget: repeatable(
      flag('--forget <version>', 'delete the record of this version; the schema stays', version),
    ),
    repeat: repeatable(
      flag('--repeat <version>', 'let the next run repeat its interrupted statement', version),
    ),
    finish: repeatable(
      flag('--finish <version>', 'record its interrupted statement as finished', version),
    ),
    ...runFlags,
  },
  examples: [
    ['cryptosense-db migrate repair', 'all changed files'],
    ['cryptosense-db migrate repair 20251007_120400', 'one migration'],
    ['cryptosense-db migrate repair --forget 20251007_120400', 'not applied'],
    ['cryptosense-db migrate repair --finish 20251007_120400', 'done by hand'],
  ],
  run: async (given, tools) =>
    tools.output.result(await (await migrate()).repair(onDatabase(given, tools)), renderRepair),
});

const baseline = defineCommand<BaselineOptions & TargetFlags>()({
  name: 'baseline',
  summary: 'record migrations as applied without running them',
  arguments: {
    version: argument('<version>', 'the newest version that the database already has', version),
  },
  flags: runFlags,
  examples: [['cryptosense-db migrate baseline 20251007_121300', 'adopt an existing schema']],
  run: async (given, tools) =>
    tools.output.result(await (await migrate()).baseline(onDatabase(given, tools)), renderBaseline),
});

const verify = defineCommand<VerifyOptions>()({
  name: 'verify',
  summary:
    'apply, roll back and apply again each pair; exit with code 1 when a schema is not as before',
  flags: {
    since: flag('--since <version>', 'the first pair to verify (default: all)', version),
    seed: flag('--seed <name>', 'then seed, roll back again, and list the rows that are lost', {
      choices: ['dev'],
    }),
    seeds: flag('--seeds <dir>', 'folder with dev/ (default: the packaged seeders)'),
    ...scratchFlags,
    ...folderFlags,
  },
  notes: [
    'It works on a scratch database: after a rollback the schema is compared with that from before, and after the',
    'second apply with that of the first. Then the whole chain is verified. "-- Irreversible" pairs are listed.',
  ],
  examples: [
    ['cryptosense-db migrate verify', 'every pair, on the server in TEST_DATABASE_URL'],
    ['cryptosense-db migrate verify --since 20261127_120000', 'what a pull request adds'],
    ['cryptosense-db migrate verify --seed dev', 'also what rollbacks lose'],
    ['cryptosense-db migrate verify --scratch embedded', 'without a server'],
  ],
  run: async (given, tools) => {
    const { signal } = tools;
    const { onProgress } = tools.output;
    const { verify: verifyPairs } = await import('../schema/schema.ts');
    const result = await verifyPairs({ ...given, signal, onProgress });
    tools.output.result(result, renderVerify);
    if (result.broken || result.chain?.broken) tools.answerNo();
  },
});

const lint = defineCommand<
  Omit<LintOptions, 'target'> &
    TargetFlags & { readonly format?: 'text' | 'github'; readonly failOn?: Severity }
>()({
  name: 'lint',
  summary: 'find what is risky in migrations; exit with code 1 when there is an error',
  flags: {
    since: flag('--since <version>', 'the first pair to lint (default: all)', version),
    failOn: flag('--fail-on <severity>', 'exit with code 1 from this severity on', {
      choices: ['error', 'warning'],
      default: 'error',
    }),
    format: flag('--format <format>', 'text, or annotations for a workflow of GitHub', {
      choices: ['text', 'github'],
      default: 'text',
    }),
    ...targetFlags,
    ...folderFlags,
  },
  notes: [
    'It reads the files and runs nothing. With --url or --embedded, the size of a table decides whether a lock on it is an',
    'error or a warning; the environment names no database here. "-- lint: allow RULE <why>" at the top of a file allows',
    'what is meant. squawk-cli, where it is installed, finds the locks and rewrites.',
  ],
  examples: [
    ['cryptosense-db migrate lint', 'all files'],
    ['cryptosense-db migrate lint --since 20261127_120000', 'what a pull request adds'],
    ['cryptosense-db migrate lint --format github', 'annotations in a pull request'],
    ['cryptosense-db migrate lint --url postgresql://db.example/shop', 'by size'],
  ],
  run: async ({ format, failOn, ...given }, tools) => {
    const { lint: lintFiles } = await import('../schema/schema.ts');
    const result = await lintFiles(onNamedDatabase(given, tools)).catch((error) => {
      const faults = isError(error) ? findingsOf(error.details) : [];
      if (format === 'github') tools.output.annotations(renderFaultAnnotations(faults));
      throw error;
    });
    tools.output.result(result, format === 'github' ? renderAnnotations : renderLint);
    const fails = (severity: Severity) => severity === 'error' || failOn === 'warning';
    if (result.findings.some(({ severity }) => fails(severity))) tools.answerNo();
  },
});

export const migrateCommands: Group = {
  name: 'migrate',
  summary: 'apply, roll back and inspect migrations',
  commands: [up, plan, down, redo, status, create, lint, verify, repair, baseline],
};
