import type { TargetFlags } from '../config.ts';
import type {
  DatabaseOptions,
  DropOptions,
  ResetOptions,
  WaitOptions,
} from '../databases/lifecycle.ts';
import { renderCreate, renderDrop, renderRun, renderWait } from '../ui/render.ts';
import { defineCommand, flag, type Group } from './command.ts';
import { forceFlag, onDatabase, runFlags, targetFlags } from './flags.ts';
import { duration } from './values.ts';

const lifecycle = () => import('../databases/lifecycle.ts');

const create = defineCommand<DatabaseOptions & TargetFlags>()({
  name: 'create',
  summary: 'create the database, empty; leave one that exists alone',
  flags: targetFlags,
  examples: [['cryptosense-db db create', 'the database in DATABASE_URL']],
  run: async (given, tools) =>
    tools.output.result(await (await lifecycle()).create(onDatabase(given, tools)), renderCreate),
});

const drop = defineCommand<DropOptions & TargetFlags>()({
  name: 'drop',
  summary: 'drop the database and end all connections to it',
  flags: { ...forceFlag, ...targetFlags },
  examples: [['cryptosense-db db drop', 'refused for a production database']],
  run: async (given, tools) =>
    tools.output.result(await (await lifecycle()).drop(onDatabase(given, tools)), renderDrop),
});

const reset = defineCommand<ResetOptions & TargetFlags>()({
  name: 'reset',
  summary: 'drop the database, create it again and apply all migrations',
  flags: { ...forceFlag, ...runFlags },
  notes: [
    'The new database keeps the mark of the dropped one.',
    'Its owner, grants and settings are the defaults.',
  ],
  examples: [['cryptosense-db db reset', 'a new start in development']],
  run: async (given, tools) =>
    tools.output.result(await (await lifecycle()).reset(onDatabase(given, tools)), renderRun),
});

const wait = defineCommand<WaitOptions & TargetFlags>()({
  name: 'wait',
  summary: 'wait until the server accepts connections; exit with code 1 at the timeout',
  flags: {
    timeoutMs: flag('--timeout <time>', 'how long to wait (default: 60s)', duration),
    ...targetFlags,
  },
  examples: [['cryptosense-db db wait --timeout 2m', 'wait two minutes at most']],
  run: async (given, tools) => {
    const result = await (await lifecycle()).wait(onDatabase(given, tools));
    tools.output.result(result, renderWait);
    if (!result.isReady) tools.answerNo();
  },
});

export const dbCommands: Group = {
  name: 'db',
  summary: 'create, drop, reset and wait for the database',
  commands: [create, drop, reset, wait],
};
