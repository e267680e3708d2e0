import type { Command } from 'commander';
import type { Context } from './context.ts';
import {
  begin,
  type CommonFlags,
  examples,
  type FolderFlags,
  withFolderOptions,
  withOutputOptions,
  withTargetOptions,
} from './options.ts';

const load = async () => ({
  types: await import('../types/generate.ts'),
  render: await import('../ui/render.ts'),
});

interface TypesFlags extends CommonFlags, FolderFlags {
  readonly out: string;
  readonly allowPending?: boolean;
}

/** `cryptosense-db types …` */
export function addTypesCommands(program: Command, context: Context): void {
  const group = program
    .command('types')
    .description('Kysely types of schema public, from the database as it is');

  withTypesOptions(group.command('generate').description('write the types to a file'))
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db types generate', 'after migrate up'],
        ['cryptosense-db types generate --embedded --out src/db.ts', 'no server needed'],
      ]),
    )
    .action(async ({ out: file, ...flags }: TypesFlags) => {
      const { output, common, types, render } = await begin(context, flags, load);
      output.result(await types.generate({ ...flags, ...common, file }), render.renderGenerated);
    });

  withTypesOptions(
    group
      .command('check')
      .description('compare the file with what the database gives; exit with 1 when it differs'),
  )
    .addHelpText('after', examples([['cryptosense-db types check', 'in a pipeline']]))
    .action(async ({ out: file, ...flags }: TypesFlags) => {
      const { output, common, types, render } = await begin(context, flags, load);
      const result = await types.check({ ...flags, ...common, file });
      output.result(result, render.renderTypesCheck);
      if (!result.isCurrent) context.answerNo();
    });
}

function withTypesOptions(command: Command): Command {
  return withOutputOptions(
    withFolderOptions(
      withTargetOptions(
        command
          .option('--out <file>', 'the file of types', 'src/database/types.ts')
          .option('--allow-pending', 'also from a database that lacks migrations'),
      ),
    ),
  );
}
