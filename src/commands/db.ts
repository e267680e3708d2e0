import { type Command, Option } from 'commander';
import type { Context } from './context.ts';
import {
  begin,
  type CommonFlags,
  examples,
  type FolderFlags,
  forceOption,
  type LockFlags,
  parseDuration,
  runControlOf,
  withFolderOptions,
  withLockOptions,
  withOutputOptions,
  withTargetOptions,
} from './options.ts';

const load = async () => ({
  lifecycle: await import('../databases/lifecycle.ts'),
  render: await import('../ui/render.ts'),
});

interface ForceFlags extends CommonFlags {
  readonly force?: string;
}

/** `cryptosense-db db …` */
export function addDbCommands(program: Command, context: Context): void {
  const group = program.command('db').description('create, drop, reset and wait for the database');

  withOutputOptions(
    withTargetOptions(
      group.command('create').description('create the database that the target names'),
    ),
  )
    .addHelpText('after', examples([['cryptosense-db db create', 'no harm when it is there']]))
    .action(async (flags: CommonFlags) => {
      const { output, common, lifecycle, render } = await begin(context, flags, load);
      const result = await lifecycle.create(common);
      output.result(result, render.renderCreate);
    });

  withOutputOptions(
    withTargetOptions(
      group
        .command('drop')
        .description('drop the database, whoever is connected to it')
        .addOption(forceOption()),
    ),
  )
    .addHelpText('after', examples([['cryptosense-db db drop', 'a production database refuses']]))
    .action(async (flags: ForceFlags) => {
      const { output, common, lifecycle, render } = await begin(context, flags, load);
      const { force } = flags;
      const result = await lifecycle.drop({ ...common, force });
      output.result(result, render.renderDrop);
    });

  withOutputOptions(
    withLockOptions(
      withFolderOptions(
        withTargetOptions(
          group
            .command('reset')
            .description(
              'drop the database, create it anew (default owner, grants and settings) and apply all migrations',
            )
            .addOption(forceOption()),
        ),
      ),
    ),
  )
    .addHelpText('after', examples([['cryptosense-db db reset', 'a fresh start in development']]))
    .action(async (flags: ForceFlags & FolderFlags & LockFlags) => {
      const { output, common, lifecycle, render } = await begin(context, flags, load);
      const result = await lifecycle.reset({
        ...flags,
        ...runControlOf(flags),
        ...common,
      });
      output.result(result, render.renderRun);
    });

  withOutputOptions(
    withTargetOptions(
      group
        .command('wait')
        .description('wait until the server takes connections; exit with 1 when it does not')
        .addOption(
          new Option('--timeout <time>', 'how long to wait (default: 60s)').argParser(
            parseDuration,
          ),
        ),
    ),
  )
    .addHelpText('after', examples([['cryptosense-db db wait --timeout 2m', 'in a pipeline']]))
    .action(async (flags: CommonFlags & { readonly timeout?: number }) => {
      const { output, common, lifecycle, render } = await begin(context, flags, load);
      const result = await lifecycle.wait({
        ...common,
        timeoutMs: flags.timeout,
      });
      output.result(result, render.renderWait);
      if (!result.isReady) context.answerNo();
    });
}
