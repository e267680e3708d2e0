import { type Command, InvalidArgumentError, Option } from 'commander';
import { nameTestServer, readTestServer, surroundings } from '../config.ts';
import { describeHost, type ServerTarget, targetUrl } from '../database/target.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { ContentOptions } from '../test-databases/recipe.ts';
import type { TestServer } from '../test-databases/test-server.ts';
import type { Output, OutputFlags } from '../ui/output.ts';
import type { Context } from './context.ts';
import {
  examples,
  type FolderFlags,
  lockTimeoutOption,
  parseDuration,
  parseMoment,
  parseSteps,
  withFolderOptions,
  withOutputOptions,
} from './options.ts';

const load = async () => ({
  testDatabases: await import('../test-databases/test-databases.ts'),
  servers: await import('../test-databases/test-server.ts'),
  render: await import('../ui/test-databases.ts'),
});

interface ServerFlags extends OutputFlags {
  readonly url?: string | undefined;
}

interface ContentFlags extends FolderFlags, Pick<ContentOptions, 'seed' | 'seeds' | 'now'> {
  readonly lockTimeout?: number;
}

interface CreateFlags extends ServerFlags, ContentFlags {
  readonly count?: number;
  readonly ahead?: number;
  readonly variable?: string | true;
}

/** `cryptosense-db test-db …` */
export function addTestDbCommands(program: Command, context: Context): void {
  const group = program
    .command('test-db')
    .description('databases for tests: a fresh one each, migrated and seeded');

  withOutput(
    withServer(
      withContent(
        group
          .command('create')
          .description('create a test database and print its URL')
          .addOption(
            new Option('--count <n>', 'how many, a URL each (default: 1)').argParser(parseSteps),
          )
          .addOption(
            new Option(
              '--ahead <n>',
              'keep so many more ready, made in the background for the next ones',
            ).argParser(parseSteps),
          )
          .addOption(
            new Option(
              '--variable [name]',
              'print NAME=URL, NAME_1=URL where there are several (default name: DATABASE_URL)',
            )
              .argParser(parseVariable)
              .conflicts('json'),
          ),
      ),
    ),
  )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db test-db create', 'its URL'],
        ['cryptosense-db test-db create --seed dev --count 4', 'one for each worker'],
        ['cryptosense-db test-db create --variable >> "$GITHUB_ENV"', 'for the steps that follow'],
      ]),
    )
    .action((flags: CreateFlags) => create(context, flags));

  withOutput(
    withServer(
      withContent(
        group
          .command('fill')
          .description('make test databases ahead, for create to take')
          .argument('<n>', 'how many are to be ready', parseSteps),
      ),
    ),
  )
    .addHelpText('after', examples([['cryptosense-db test-db fill 8', 'before the tests start']]))
    .action((count: number, flags: ServerFlags & ContentFlags) =>
      withServerOf(context, flags, async ({ server, testDatabases, render, output, options }) => {
        const filled = await testDatabases.fill(server, { ...options, ...contentOf(flags), count });
        output.result(filled, render.renderFilled);
      }),
    );

  withOutput(
    withServer(
      group
        .command('drop')
        .description('drop test databases, whoever is connected to them')
        .argument('[databases...]', 'their names or URLs')
        .option('--all', "every one of this tool's that the role may drop, templates too"),
    ),
  )
    .addHelpText(
      'after',
      examples([
        ['cryptosense-db test-db drop "$DATABASE_URL"', 'the server is the one in the URL'],
        ['cryptosense-db test-db drop --all', 'nothing is left'],
      ]),
    )
    .action((databases: readonly string[], flags: ServerFlags & { readonly all?: boolean }) =>
      drop(context, databases, flags),
    );

  withOutput(
    withServer(
      group.command('list').description('list test databases, templates and those made ahead'),
    ),
  )
    .addHelpText('after', examples([['cryptosense-db test-db list', 'the oldest first']]))
    .action((flags: ServerFlags) =>
      withServerOf(context, flags, async ({ server, testDatabases, render, output }) => {
        output.result(await testDatabases.list(server), render.renderList);
      }),
    );

  withOutput(
    withServer(
      group
        .command('prune')
        .description('drop test databases that nobody is connected to and nobody took away')
        .addOption(
          new Option('--older-than <time>', 'younger ones stay (default: 1h)').argParser(
            parseDuration,
          ),
        )
        .option('--templates', 'templates of that age too (default: those of a week)'),
    ),
  )
    .addHelpText(
      'after',
      examples([['cryptosense-db test-db prune --older-than 1h', 'what dead processes left']]),
    )
    .action((flags: ServerFlags & { readonly olderThan?: number; readonly templates?: boolean }) =>
      withServerOf(context, flags, async ({ server, testDatabases, render, output }) => {
        const { olderThan: olderThanMs, templates } = flags;
        const pruned = await testDatabases.prune(server, { olderThanMs, templates });
        output.result(pruned, render.renderPruned);
      }),
    );
}

function withServer(command: Command): Command {
  return command.option(
    '--url <url>',
    'the server: postgresql://…; else TEST_DATABASE_URL, else a container',
  );
}

function withContent(command: Command): Command {
  return withFolderOptions(
    command
      .addOption(new Option('--seed <name>', 'seed them (default: not)').choices(['dev']))
      .option('--seeds <dir>', 'folder with dev/ (default: the packaged seeders)')
      .addOption(
        new Option(
          '--now <time>',
          'the moment that the data is of (default: one of the current day in UTC)',
        ).argParser(parseMoment),
      ),
  ).addOption(lockTimeoutOption());
}

function withOutput(command: Command): Command {
  return withOutputOptions(command).addHelpText(
    'after',
    `\n${[
      'Without --url and TEST_DATABASE_URL, a container serves where Docker answers; it is left running.',
      'Only databases that this tool marked are ever dropped. URLs are printed with --quiet too.',
    ].join('\n')}`,
  );
}

function contentOf(flags: ContentFlags) {
  const { migrations, rollbacks, seed, seeds, now, lockTimeout: lockTimeoutMs } = flags;
  return { migrations, rollbacks, seed, seeds, now, lockTimeoutMs };
}

async function create(context: Context, flags: CreateFlags): Promise<void> {
  const { count, ahead, variable } = flags;
  await withServerOf(context, flags, async ({ server, testDatabases, render, output, options }) => {
    const created = await testDatabases.create(server, { ...options, ...contentOf(flags), count });
    const name = variable === true ? 'DATABASE_URL' : variable;
    output.product(created, (result) => render.renderCreated(result, { variable: name }));
    if (ahead !== undefined) {
      const { startInBackground } = await import('../runtime/child-process.ts');
      nameTestServer(targetUrl(server.target));
      startInBackground(['test-db', 'fill', String(ahead), '--quiet', ...contentFlagsOf(flags)]);
    }
  });
}

/** The same content, for another process. */
function contentFlagsOf({ migrations, rollbacks, seed, seeds, now }: ContentFlags) {
  const flags = { migrations, rollbacks, seed, seeds, now: now?.toISOString() };
  return Object.entries(flags).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  );
}

async function drop(
  context: Context,
  databases: readonly string[],
  flags: ServerFlags & { readonly all?: boolean },
): Promise<void> {
  const { all = false } = flags;
  if (all === databases.length > 0 || databases.includes('')) {
    throw new CryptosenseDbError('bad-configuration', {
      message: all ? '--all and databases are given' : 'no database is named',
      hint: 'cryptosense-db test-db drop NAME, or --all; see: cryptosense-db test-db list',
    });
  }
  await withServerOf(
    context,
    { ...flags, url: urlAmong(databases, flags) },
    async ({ server, testDatabases, render, output }) => {
      const names = databases.map((word) => nameIn(word, server));
      const result = await (all
        ? testDatabases.dropAll(server)
        : testDatabases.drop(server, names));
      output.result(result, render.renderDropped);
    },
  );
}

/**
 * The server of the first URL, unless what names a server names the same: it may have the password that
 * the URL lacks.
 */
function urlAmong(databases: readonly string[], flags: ServerFlags): string | undefined {
  const url = databases.find((word) => word.includes('://'));
  if (url === undefined || flags.url !== undefined) return flags.url;
  const named = readTestServer({}, surroundings())?.target;
  const own = readTestServer({ url }, surroundings())?.target;
  return named && own && placeOf(named) === placeOf(own) ? undefined : url;
}

/** A name as it is; a URL's database, when it is on that server. */
function nameIn(word: string, { target }: TestServer): string {
  if (!word.includes('://')) return word;
  const named = readTestServer({ url: word }, surroundings())?.target;
  if (named && placeOf(named) === placeOf(target)) return named.database;
  throw new CryptosenseDbError('bad-configuration', {
    message: 'the URLs name databases on different servers',
    evidence: [`the server is ${placeOf(target)}`],
    hint: 'drop them server by server',
  });
}

function placeOf({ hosts }: ServerTarget): string {
  return hosts.map(describeHost).join(',');
}

interface Work extends Awaited<ReturnType<typeof load>> {
  readonly server: TestServer;
  readonly output: Output;
  readonly options: Pick<Output, 'onProgress'> & Pick<Context, 'signal'>;
}

/** Around a command: its output and its server. */
async function withServerOf(
  { open, signal }: Context,
  flags: ServerFlags,
  work: (tools: Work) => Promise<void>,
): Promise<void> {
  const output = await open(flags);
  const named = readTestServer(flags, surroundings());
  const modules = await load();
  const { onProgress } = output;
  // A container of this process alone would be gone before anybody could connect.
  const server = await modules.servers.obtainTestServer(named, {
    reuseContainer: true,
    onProgress,
  });
  try {
    await work({ ...modules, server, output, options: { onProgress, signal } });
  } finally {
    await server.close();
  }
}

function parseVariable(text: string): string {
  if (!/^[A-Za-z_]\w*$/.test(text)) {
    throw new InvalidArgumentError('It is the name of a variable, such as DATABASE_URL.');
  }
  return text;
}
