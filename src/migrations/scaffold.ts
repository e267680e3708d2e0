import {
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative, sep } from 'node:path';
import {
  compareVersions,
  formatStamp,
  isRealStamp,
  stampDate,
  type Version,
} from '../ledger/version.ts';
import { CryptosenseDbError, hasCode, isError, messageOf } from '../runtime/errors.ts';
import { summariseFinding } from '../runtime/findings.ts';
import { packagedMigrations, packagedTemplates, packageRoot } from '../runtime/package.ts';
import { retry } from '../runtime/retry.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import { type GrammarOptions, readScripts } from './scripts.ts';
import {
  type MigrationPair,
  readMigrations,
  resolveFolders,
  type SourceFolders,
  sqlFile,
} from './source.ts';
import { rollbackSuffix, templateNames } from './templates.ts';

export interface ScaffoldOptions extends GrammarOptions {
  /** Words or a name: `add price alerts`, `add_price_alerts`. */
  readonly description: string;
  /** One of `templateNames()`. Default `migration`. */
  readonly template?: string | undefined;
  /** Existing folders, which get the new pair. Default: those of the packaged schema, in a checkout of this package. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
  readonly author: string;
  readonly now?: Date | undefined;
}

export interface ScaffoldResult {
  readonly version: Version;
  /** Paths of the two new files. */
  readonly migration: string;
  readonly rollback: string;
  /** The flags with which `migrate up` finds the files: none for the packaged folders. */
  readonly folderFlags: string;
}

/**
 * Writes a new migration and its rollback from a template. The stamp is now, or one second after
 * the newest migration if that is later; calls at the same moment get stamps of their own. Never
 * overwrites a file; leaves both files or neither. Throws `bad-configuration`, `faulty-folder`, `file-problem`.
 */
export async function create(options: ScaffoldOptions): Promise<ScaffoldResult> {
  const { template = 'migration', now = new Date(), author } = options;
  const name = fileNameFor(options.description);
  const templates = templateNames();
  if (!templates.includes(template)) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `there is no template "${template}"`,
      hint: `choose one of ${templates.join(', ')}`,
    });
  }
  const folders = foldersOf(options);
  return withStamp(folders, now, async (version) => {
    const file = `${version}_${name}.sql`;
    const rollbackFile = `${version}_${name}${rollbackSuffix}`;
    const values = {
      file,
      rollback_file: rollbackFile,
      description: options.description.trim().replaceAll(/[\s_]+/g, ' '),
      author: author.replaceAll(/\s+/g, ' '),
      subject: subjectOf(name),
      // For the table of the example.
      index: `idx_users_${subjectOf(name).replace(/^users_/, '')}`,
    };
    const texts = {
      up: fillTemplate(`${template}.sql`, values),
      down: fillTemplate(`${template}${rollbackSuffix}`, values),
    };
    await requireSql(values.subject, {
      up: sqlFile(file, texts.up),
      down: sqlFile(rollbackFile, texts.down),
      beforeGrammar: options.beforeGrammar,
    });
    const migration = join(folders.migrations, file);
    const rollback = join(folders.rollbacks, rollbackFile);
    writeNew(migration, texts.up);
    try {
      writeNew(rollback, texts.down);
    } catch (error) {
      rmSync(migration);
      throw error;
    }
    return { version, migration, rollback, folderFlags: folderFlagsOf(folders) };
  });
}

/**
 * The folders that are given, or those of the packaged schema, relative to the working folder. Throws
 * `bad-configuration` without folders outside a checkout of this package: an installed package is replaced by the next
 * installation, and `migrate up` reads no other folders by itself.
 */
function foldersOf(given: Pick<ScaffoldOptions, 'migrations' | 'rollbacks'>): SourceFolders {
  const folders = resolveFolders(given);
  if (given.migrations !== undefined) return folders;
  const cwd = process.cwd();
  if (!isInCheckout(cwd)) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'no folders are named, and this is not a checkout of cryptosense-db',
      evidence: ['the packaged schema is changed in the repository of cryptosense-db'],
      hint: 'run the command there; or name the folders of a schema of your own with: --migrations DIR --rollbacks DIR',
    });
  }
  return {
    migrations: relative(cwd, folders.migrations),
    rollbacks: relative(cwd, folders.rollbacks),
  };
}

/** An installed package has no sources. */
function isInCheckout(folder: string): boolean {
  const [root, inner] = [realpathSync(packageRoot), realpathSync(folder)];
  return existsSync(join(root, 'src')) && (inner === root || inner.startsWith(root + sep));
}

/** Calls `write` with a stamp that no other call has at the same time, in this process or another one. */
async function withStamp<T>(
  folders: SourceFolders,
  now: Date,
  write: (version: Version) => Promise<T>,
): Promise<T> {
  let version = nextVersion(await readSettled(folders), now);
  for (;;) {
    const reservation = join(folders.migrations, `.${version}.new`);
    if (tryReserve(reservation)) {
      try {
        // Another call may have written its files, and given its reservation up, since the folders were read.
        const newest = nextVersion(await readSettled(folders), now);
        if (compareVersions(newest, version) <= 0) return await write(version);
      } finally {
        rmSync(reservation, { force: true });
      }
    }
    version = after(version);
  }
}

/** false: another call has the stamp. */
function tryReserve(reservation: string): boolean {
  try {
    writeNew(reservation, '');
    return true;
  } catch (error) {
    if (isError(error, 'file-problem') && hasCode(error.cause, 'EEXIST')) return false;
    throw error;
  }
}

/** Reads the folders. While another call writes a pair, half of it may be there: reads them again then. */
async function readSettled(folders: SourceFolders): Promise<readonly MigrationPair[]> {
  return retry(async () => readMigrations(folders), {
    waitMs: ({ error, attempts, elapsedMs }) => {
      if (!isError(error, 'faulty-folder') || elapsedMs > longestWriteMs) return undefined;
      return attempts === 1 || isBeingWritten(folders.migrations) ? 20 : undefined;
    },
  });
}

/** A reservation that is older was left behind by a process that died. */
const longestWriteMs = 2_000;

function isBeingWritten(folder: string): boolean {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.some((name) => /^\.\d{8}_\d{6}\.new$/.test(name));
}

/** Throws `bad-configuration` for a subject that SQL reserves, such as `order`: the file would not parse. */
async function requireSql(
  subject: string,
  { beforeGrammar, ...pair }: Pick<MigrationPair, 'up' | 'down'> & GrammarOptions,
): Promise<void> {
  try {
    await readScripts([pair], { beforeGrammar });
  } catch (cause) {
    if (!isError(cause, 'faulty-statements')) throw cause;
    throw new CryptosenseDbError(
      'bad-configuration',
      {
        message: `"${subject}" cannot be the name of a table`,
        evidence: cause.details.findings.flatMap(summariseFinding),
        hint: 'describe the change in other words: add_orders instead of add_order',
      },
      { cause },
    );
  }
}

function folderFlagsOf({ migrations, rollbacks }: SourceFolders): string {
  const isPackaged = realpathSync(migrations) === realpathSync(packagedMigrations);
  const [migrationWord, rollbackWord] = [migrations, rollbacks].map(quoteShellWord);
  return isPackaged ? '' : ` --migrations ${migrationWord} --rollbacks ${rollbackWord}`;
}

function nextVersion(pairs: readonly MigrationPair[], now: Date): Version {
  const stamp = formatStamp(now);
  const newest = pairs.at(-1)?.version;
  return newest === undefined || compareVersions(newest, stamp) < 0 ? stamp : after(newest);
}

/** One second later. */
function after(version: Version): Version {
  const next = formatStamp(new Date((stampDate(version)?.getTime() ?? 0) + 1000));
  if (isRealStamp(next)) return next;
  throw new CryptosenseDbError('bad-configuration', {
    message: `the newest migration has the last possible stamp, ${version}`,
    hint: 'rename it to the date on which it was written',
  });
}

const longestName = 100;

/** `Add price-alerts!` becomes `add_price_alerts`. */
function fileNameFor(description: string): string {
  const name = description
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_+|_+$/g, '');
  if (name === '' || name.length > longestName) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `"${description}" gives no file name of 1 to ${longestName} letters and digits`,
      hint: 'describe the change in a few words: cryptosense-db migrate new add_price_alerts',
    });
  }
  if (`${name}.sql`.endsWith(rollbackSuffix)) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `"${description}" gives a file name that ends with ${rollbackSuffix}`,
      hint: 'describe the change in other words',
    });
  }
  return name;
}

/** The table that a change is likely to be about: `price_alerts` for `create_price_alerts_table`. */
function subjectOf(name: string): string {
  const subject = name
    .replace(/^(create|add|make|new|index|update|backfill|change|fill)_/, '')
    .replace(/_(table|hypertable|index)$/, '');
  return (/^\d/.test(subject) ? `t_${subject}` : subject).slice(0, 40);
}

function fillTemplate(name: string, values: Readonly<Record<string, string>>): string {
  const template = readFileSync(join(packagedTemplates, name), 'utf8');
  return template.replaceAll(/\{\{(\w+)\}\}/g, (placeholder, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`${name} has ${placeholder}, which has no value`);
    return value;
  });
}

function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (cause) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `${path} cannot be written`, evidence: [messageOf(cause)] },
      { details: { path }, cause },
    );
  }
}
