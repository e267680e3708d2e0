import type { TargetFlags } from '../config.ts';
import type {
  DatabaseOptions,
  DropOptions,
  MarkOptions,
  ResetOptions,
  WaitOptions,
} from '../databases/lifecycle.ts';
import { environments } from '../ledger/marks.ts';
import { renderCreate, renderDrop, renderMark, renderRun, renderWait } from '../ui/render.ts';
import { argument, defineCommand, flag, type Group } from './command.ts';
import { forceFlag, lockTimeoutFlag, onDatabase, runFlags, targetFlags } from './flags.ts';
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
  notes: ['It refuses a database that has content and no ledger of this tool.'],
  examples: [
    ['cryptosense-db db drop', 'a development database'],
    ['cryptosense-db db drop --force shop', 'also one in production'],
  ],
  run: async (given, tools) =>
    tools.output.result(await (await lifecycle()).drop(onDatabase(given, tools)), renderDrop),
});

const reset = defineCommand<ResetOptions & TargetFlags>()({
  name: 'reset',
  summary: 'drop the database, create it again and apply all migrations',
  flags: { ...forceFlag, ...runFlags },
  notes: [
    'It refuses what `db drop` refuses. The new database keeps the mark of the dropped one.',
    'Its owner, grants and settings are the defaults.',
  ],
  examples: [['cryptosense-db db reset', 'a new start in development']],
  run: async (given, tools) =>
    tools.output.result(await (await lifecycle()).reset(onDatabase(given, tools)), renderRun),
});

const mark = defineCommand<MarkOptions & TargetFlags>()({
  name: 'mark',
  summary:
    'say what the database is; what destroys data asks for --force in production and staging',
  arguments: { environment: argument('<name>', 'the mark', { choices: environments }) },
  flags: {
    force: flag('--force <database>', 'the name of the database, to confirm another mark'),
    ...targetFlags,
    ...lockTimeoutFlag,
  },
  notes: ['The ledger logs each change.'],
  examples: [
    ['cryptosense-db db mark dev', 'a database without a mark'],
    ['cryptosense-db db mark production --force shop', 'another mark'],
  ],
  run: async (given, tools) =>
    tools.output.result(await (await lifecycle()).mark(onDatabase(given, tools)), renderMark),
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
  summary: 'create, mark, drop, reset and wait for the database',
  commands: [create, mark, drop, reset, wait],
};
