import type { TargetFlags } from '../config.ts';
import type { TypesOptions } from '../types/generate.ts';
import { renderGenerated, renderTypesCheck } from '../ui/render.ts';
import { defineCommand, flag, type Group } from './command.ts';
import { folderFlags, onDatabase, targetFlags } from './flags.ts';

const types = () => import('../types/generate.ts');

const flags = {
  file: flag('--out <file>', 'the file that holds the types', {
    default: 'src/database/types.ts',
  }),
  allowPending: flag('--allow-pending', 'also accept a database with pending migrations'),
  ...targetFlags,
  ...folderFlags,
};

const generate = defineCommand<TypesOptions & TargetFlags>()({
  name: 'generate',
  summary: 'write the types to a file',
  flags,
  examples: [
    ['cryptosense-db types generate', 'after migrate up'],
    ['cryptosense-db types generate --embedded --out src/db.ts', 'without a server'],
  ],
  run: async (given, tools) =>
    tools.output.result(await (await types()).generate(onDatabase(given, tools)), renderGenerated),
});

const check = defineCommand<TypesOptions & TargetFlags>()({
  name: 'check',
  summary: 'compare the file with the database; exit with code 1 when they differ',
  flags,
  examples: [['cryptosense-db types check', 'check in a pipeline']],
  run: async (given, tools) => {
    const result = await (await types()).check(onDatabase(given, tools));
    tools.output.result(result, renderTypesCheck);
    if (!result.isCurrent) tools.answerNo();
  },
});

export const typesCommands: Group = {
  name: 'types',
  summary: 'Kysely types of the tables and views in schema public',
  commands: [generate, check],
};
