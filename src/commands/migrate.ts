import { type Command, Option } from 'commander';
import type { Context } from './context.ts';
import {
  begin,
  type CommonFlags,
  collectVersions,
  examples,
  type FolderFlags,
  forceOption,
  keepWebAssemblyPlain,
  type LockFlags,
  parseSteps,
  parseVersion,
  runControlOf,
  withFolderOptions,
  withLockOptions,
  withOutputOptions,
  withTargetOptions,
} from './options.ts';

type RunFlags = CommonFlags & FolderFlags & LockFlags;

const load = async () => ({
  migrate: await import('../migrations/migrate.ts'),
  render: await import('../ui/render.ts'),
});

/** `cryptosense-db migrate …` */
export function addMigrateCommands(program: Command, context: Context): void {
  const group = program
    .command('migrate')
    .description('apply, roll back and look at schema migrations');
  addUp(group, context);
  addDown(group, context);
  addRedo(group, context);
  addStatus(group, context);
  addNew(group, context);
  addRepair(group, context);
  addBaseline(group, context);
}

const environmentOption = () =>
  new Option('--env <name>', 'mark the database for good').choices(['dev', 'test', 'production']);

const toOption = (description: string) =>
  new Option('--to <version>', description).argParser(parseVersion).conflicts(['steps', 'all']);

const stepsOption = (description: string) =>
  new Option('--steps <n>', description).argParser(parseSteps).conflicts(['to', 'all']);

function runnable(command: Command): Command {
  return withOutputOptions(withLockOptions(withFolderOptions(withTargetOptions(command))));
}

interface UpFlags extends RunFlags {
  readonly to?: string;
  readonly steps?: number;
  readonly singleTransaction?: boolean;
  readonly dryRun?: boolean;
  readonly allowOutOfOrder?: boolean;
  readonly env?: 'dev' | 'test' | 'production';
  readonly types?: string;
}

function addUp(group: Command, context: Context): void {
  runnable(
    group
      .command('up')
      .description('apply pending migrations, oldest first')
      .addOption(toOption('stop after this version'))
      .addOption(stepsOption('apply at most this many'))
      .option('--single-transaction', 'all in one transaction, or none')
      .option('--dry-run', 'check and list what would run, change nothing')
      .option('--allow-out-of-order', 'also apply migrations older than the newest applied')
      .addOption(environmentOption())
      .addOption(
        new Option('--types <file>', 'then write the Kysely types of the database').conflicts(
          'dryRun',
        ),
      ),
  )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db migrate up', 'everything that is pending'],
        ['cryptosense-db migrate up --to 20251007_120400', 'as far as holdings'],
        ['cryptosense-db migrate up --env production', 'at the first deployment'],
        ['cryptosense-db migrate up --embedded', 'no server needed'],
      ]),
    )
    .action(async ({ types: file, ...flags }: UpFlags) => {
      const { output, common, migrate, render } = await begin(context, flags, load);
      const upOptions = {
        ...flags,
        ...runControlOf(flags),
        ...common,
        environment: flags.env,
      };
      if (file === undefined) {
        output.result(await migrate.up(upOptions), render.renderRun);
        return;
      }
      const { upWithTypes } = await import('../types/after-migration.ts');
      output.result(await upWithTypes({ ...upOptions, file }), (result, look) =>
        [render.renderRun(result, look), render.renderGenerated(result.types)].join(''),
      );
    });
}

interface DownFlags extends RunFlags {
  readonly to?: string;
  readonly steps?: number;
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly force?: string;
}

function addDown(group: Command, context: Context): void {
  runnable(
    group
      .command('down')
      .description('roll back applied migrations, newest first; one when nothing is said')
      .addOption(toOption('roll back everything newer than this version'))
      .addOption(stepsOption('roll back this many'))
      .addOption(new Option('--all', 'roll back everything').conflicts(['to', 'steps']))
      .option('--dry-run', 'check and list what would run, change nothing')
      .addOption(forceOption()),
  )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db migrate down', 'the newest migration'],
        ['cryptosense-db migrate down --to 20251007_120400', 'back to holdings, which stays'],
        ['cryptosense-db migrate down --all --dry-run', 'what that would be'],
      ]),
    )
    .action(async (flags: DownFlags) => {
      const { output, common, migrate, render } = await begin(context, flags, load);
      const result = await migrate.down({
        ...flags,
        ...runControlOf(flags),
        ...common,
      });
      output.result(result, render.renderRun);
    });
}

interface RedoFlags extends RunFlags {
  readonly steps?: number;
  readonly force?: string;
}

function addRedo(group: Command, context: Context): void {
  runnable(
    group
      .command('redo')
      .description('roll the newest migration back and apply it again from its file, edited or not')
      .addOption(stepsOption('redo this many'))
      .addOption(forceOption()),
  )
    .addHelpText('after', examples([['cryptosense-db migrate redo', 'after editing the newest']]))
    .action(async (flags: RedoFlags) => {
      const { output, common, migrate, render } = await begin(context, flags, load);
      const result = await migrate.redo({
        ...flags,
        ...runControlOf(flags),
        ...common,
      });
      output.result(result, render.renderRun);
    });
}

interface StatusFlags extends CommonFlags, FolderFlags {
  readonly check?: boolean;
}

function addStatus(group: Command, context: Context): void {
  withOutputOptions(
    withFolderOptions(
      withTargetOptions(
        group
          .command('status')
          .description('show where every migration stands')
          .option('--check', 'exit with 1 unless every migration is applied and unchanged'),
      ),
    ),
  )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db migrate status', 'a table'],
        ['cryptosense-db migrate status --check --quiet', 'in a pipeline'],
      ]),
    )
    .action(async (flags: StatusFlags) => {
      const { output, common, migrate, render } = await begin(context, flags, load);
      const { migrations, rollbacks } = flags;
      const result = await migrate.status({
        ...common,
        migrations,
        rollbacks,
      });
      output.result(result, render.renderStatus);
      if (flags.check && !result.isCurrent) context.answerNo();
    });
}

interface NewFlags extends CommonFlags, FolderFlags {
  readonly template?: string;
}

function addNew(group: Command, { open }: Context): void {
  withOutputOptions(
    group
      .command('new')
      .argument('<description...>', 'what the migration does, in a few words')
      .description('write a migration and its rollback from a template')
      .option('--template <name>', 'migration, table, hypertable, index or data', 'migration')
      .option('--migrations <dir>', 'folder of migrations', 'migrations')
      .option('--rollbacks <dir>', 'folder of rollbacks', 'rollbacks'),
  )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db migrate new add_price_alerts --template table', 'a table'],
        ['cryptosense-db migrate new "fill in countries" --template data', 'a change of data'],
      ]),
    )
    .action(async (words: readonly string[], flags: NewFlags) => {
      const output = await open(flags);
      const { migrate, render } = await load();
      const { authorName } = await import('../runtime/child-process.ts');
      const { template, migrations = 'migrations', rollbacks = 'rollbacks' } = flags;
      const result = await migrate.create({
        description: words.join(' '),
        template,
        migrations,
        rollbacks,
        author: authorName(process.cwd()),
        beforeGrammar: keepWebAssemblyPlain,
      });
      output.result(result, render.renderScaffold);
    });
}

interface RepairFlags extends RunFlags {
  readonly forget: readonly string[];
}

function addRepair(group: Command, context: Context): void {
  runnable(
    group
      .command('repair')
      .argument('[versions...]', 'only these', collectVersions, [])
      .description('record changed and renamed files as they stand; no migration runs')
      .option(
        '--forget <version>',
        'drop a record; the schema stays as it is',
        collectVersions,
        [],
      ),
  )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db migrate repair', 'everything that changed'],
        ['cryptosense-db migrate repair 20251007_120400', 'one migration'],
        ['cryptosense-db migrate repair --forget 20251007_120400', 'as if never applied'],
      ]),
    )
    .action(async (versions: readonly string[], flags: RepairFlags) => {
      const { output, common, migrate, render } = await begin(context, flags, load);
      const result = await migrate.repair({
        ...flags,
        ...runControlOf(flags),
        ...common,
        versions,
      });
      output.result(result, render.renderRepair);
    });
}

function addBaseline(group: Command, context: Context): void {
  runnable(
    group
      .command('baseline')
      .argument('<version>', 'the newest migration that the database already has', parseVersion)
      .description('record migrations as applied without running them'),
  )
    .addHelpText(
      'after',
      examples([['cryptosense-db migrate baseline 20251007_121300', 'for a schema made by hand']]),
    )
    .action(async (version: string, flags: RunFlags) => {
      const { output, common, migrate, render } = await begin(context, flags, load);
      const result = await migrate.baseline({
        ...flags,
        ...runControlOf(flags),
        ...common,
        version,
      });
      output.result(result, render.renderBaseline);
    });
}
