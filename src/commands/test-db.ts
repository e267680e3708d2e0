import { nameTestServer, readTestServer, surroundings, type TargetFlags } from '../config.ts';
import { targetUrl } from '../database/target.ts';
import type { Selection } from '../test-databases/selection.ts';
import type { CreateOptions, PruneOptions } from '../test-databases/test-databases.ts';
import type { TestServer } from '../test-databases/test-server.ts';
import type { Output } from '../ui/output.ts';
import { renderCreated, renderDropped, renderFilled, renderList } from '../ui/test-databases.ts';
import { argument, defineCommand, flag, type Group, grouped, type Tools } from './command.ts';
import { folderFlags, lockTimeoutFlag, passwordCommandFlag } from './flags.ts';
import { duration, moment, positiveNumber, variableName, version } from './values.ts';

const testDatabases = () => import('../test-databases/test-databases.ts');

type ServerFlags = Pick<TargetFlags, 'url' | 'passwordCommand'>;

const serverFlag = grouped('Server:', {
  url: flag('--url <url>', 'the server (default: TEST_DATABASE_URL, or a container)'),
  passwordCommand: passwordCommandFlag,
});

const contentFlags = grouped('Content:', {
  to: flag('--to <version>', 'apply migrations up to this version (default: all)', version),
  seed: flag('--seed <name>', 'also seed the databases', { choices: ['dev'] }),
  seeds: flag('--seeds <dir>', 'folder with dev/ (default: the packaged seeders)'),
  now: flag('--now <time>', 'the moment at which the data ends (default: today)', moment),
});

const notes = [
  'Without a server, the command starts a container with Docker and leaves it running.',
  'Only test databases of this tool are ever dropped. --quiet prints URLs, too.',
];

const create = defineCommand<
  CreateOptions & ServerFlags & { readonly ahead?: number; readonly variable?: string }
>()({
  name: 'create',
  summary: 'create a test database and print its URL',
  flags: {
    count: flag('--count <n>', 'how many databases (default: 1)', positiveNumber),
    ahead: flag(
      '--ahead <n>',
      'then keep this many more ready, made in the background',
      positiveNumber,
    ),
    variable: flag('--variable [name]', 'print NAME=URL; of several, NAME_1=URL and so on', {
      ...variableName,
      bare: 'DATABASE_URL',
    }),
    ...contentFlags,
    ...folderFlags,
    ...serverFlag,
    ...lockTimeoutFlag,
  },
  notes,
  examples: [
    ['cryptosense-db test-db create', 'print one URL'],
    ['cryptosense-db test-db create --seed dev --count 4', 'one for each worker'],
    ['cryptosense-db test-db create --variable >> "$GITHUB_ENV"', 'in GitHub Actions'],
  ],
  run: async ({ url, passwordCommand, ahead, variable, ...given }, tools) =>
    withServer({ url, passwordCommand }, tools, async (server, options) => {
      const created = await (await testDatabases()).create(server, { ...given, ...options });
      tools.output.product(created, (result) => renderCreated(result, { variable }));
      if (ahead === undefined) return;
      const { startInBackground } = await import('../runtime/child-process.ts');
      nameTestServer(targetUrl(server.target));
      const words = [
        ...contentWords(given),
        ...(passwordCommand === undefined ? [] : ['--password-command', passwordCommand]),
      ];
      startInBackground(['test-db', 'fill', String(ahead), '--quiet', ...words]);
    }),
});

const fill = defineCommand<CreateOptions & ServerFlags>()({
  name: 'fill',
  summary: 'make test databases ready for later create commands',
  arguments: { count: argument('<n>', 'how many databases to have ready', positiveNumber) },
  flags: { ...contentFlags, ...folderFlags, ...serverFlag, ...lockTimeoutFlag },
  notes,
  examples: [['cryptosense-db test-db fill 8', 'before the tests start']],
  run: async ({ url, passwordCommand, ...given }, tools) =>
    withServer({ url, passwordCommand }, tools, async (server, options) => {
      const filled = await (await testDatabases()).fill(server, { ...given, ...options });
      tools.output.result(filled, renderFilled);
    }),
});

const drop = defineCommand<Selection & ServerFlags>()({
  name: 'drop',
  summary: 'drop test databases and end all connections to them',
  arguments: { databases: argument('[databases...]', 'names or URLs') },
  flags: {
    all: flag('--all', 'drop all that the role may drop, with their templates'),
    ...serverFlag,
  },
  notes,
  examples: [
    ['cryptosense-db test-db drop "$DATABASE_URL"', 'on the server of that URL'],
    ['cryptosense-db test-db drop --all', 'all test databases'],
  ],
  run: async ({ url, passwordCommand, all, databases = [] }, tools) => {
    const { databaseNames, requireSelection, serverUrl } = await import(
      '../test-databases/selection.ts'
    );
    const chosen = { databases, all };
    requireSelection(chosen);
    const readUrl = (text: string) => readTestServer({ url: text }, surroundings())?.target;
    const named = readTestServer({}, surroundings())?.target;
    const flags = { url: url ?? serverUrl(chosen, named, readUrl), passwordCommand };
    await withServer(flags, tools, async (server) => {
      const { dropAll, drop: dropNamed } = await testDatabases();
      const result = all
        ? await dropAll(server)
        : await dropNamed(server, databaseNames(chosen, server.target, readUrl));
      tools.output.result(result, renderDropped);
    });
  },
});

const list = defineCommand<ServerFlags>()({
  name: 'list',
  summary: 'list test databases, ready ones and templates, the oldest first',
  flags: serverFlag,
  notes,
  examples: [['cryptosense-db test-db list', 'show a table']],
  run: async (given, tools) =>
    withServer(given, tools, async (server) =>
      tools.output.result(await (await testDatabases()).list(server), renderList),
    ),
});

const prune = defineCommand<PruneOptions & ServerFlags>()({
  name: 'prune',
  summary: 'drop test databases left behind by processes that died',
  flags: {
    olderThanMs: flag(
      '--older-than <time>',
      'leave databases younger than this (default: 1h)',
      duration,
    ),
    templates: flag('--templates', 'also drop templates of that age (default: of a week)'),
    ...serverFlag,
  },
  notes,
  examples: [['cryptosense-db test-db prune --older-than 1d', 'those of yesterday']],
  run: async ({ url, passwordCommand, ...given }, tools) =>
    withServer({ url, passwordCommand }, tools, async (server) =>
      tools.output.result(await (await testDatabases()).prune(server, given), renderDropped),
    ),
});

export const testDbCommands: Group = {
  name: 'test-db',
  summary: 'create and drop databases for tests, migrated and seeded',
  commands: [create, fill, drop, list, prune],
};

/** Connects to the server that the flag or the environment names, or to a container, and closes it at the end. */
async function withServer(
  flags: ServerFlags,
  { output: { onProgress }, signal }: Tools,
  work: (
    server: TestServer,
    options: Pick<Tools, 'signal'> & Pick<Output, 'onProgress'>,
  ) => Promise<void>,
): Promise<void> {
  const named = readTestServer(flags, surroundings());
  const { obtainTestServer } = await import('../test-databases/test-server.ts');
  // The container outlives this process, for those that connect to its databases.
  const server = await obtainTestServer(named, { reuseContainer: true, onProgress });
  try {
    await work(server, { onProgress, signal });
  } finally {
    await server.close();
  }
}

/** Flags that give another process the same content. */
function contentWords(given: CreateOptions): readonly string[] {
  const { migrations, rollbacks, to, seed, seeds, now } = given;
  const flags = { migrations, rollbacks, to, seed, seeds, now: now?.toISOString() };
  return Object.entries(flags).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  );
}
