import { readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  compareVersions,
  formatStamp,
  isRealStamp,
  stampDate,
  type Version,
} from '../ledger/version.ts';
import { CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';
import { packagedMigrations, packagedTemplates } from '../runtime/package.ts';
import { readScripts } from './scripts.ts';
import { readMigrations, type SourceFolders } from './source.ts';

export interface ScaffoldOptions {
  /** In words or as a name: `add price alerts`, `add_price_alerts`. */
  readonly description: string;
  /** A name of `templateNames()`. Default `migration`. */
  readonly template?: string | undefined;
  /** Folders that are there; the new pair is written into them. */
  readonly migrations: string;
  readonly rollbacks: string;
  readonly author: string;
  readonly now?: Date | undefined;
}

export interface ScaffoldResult {
  readonly version: Version;
  /** Paths of the two new files. */
  readonly migration: string;
  readonly rollback: string;
  /** What `migrate up` has to be told to find them: nothing for the packaged folders. */
  readonly folderFlags: string;
}

const rollbackSuffix = '_rollback.sql';

/** The templates that there are: `templates/NAME.sql`, each with its `NAME_rollback.sql`. */
export function templateNames(): readonly string[] {
  return readdirSync(packagedTemplates)
    .filter((name) => name.endsWith('.sql') && !name.endsWith(rollbackSuffix))
    .map((name) => name.slice(0, -'.sql'.length))
    .sort(compareVersions);
}

/**
 * Writes a new migration and its rollback from a template. The stamp is now, or a second after the
 * newest migration where that is later. Never overwrites; leaves both files or neither.
 * Throws `bad-configuration`, `faulty-folder`, `file-problem`.
 */
export async function create(options: ScaffoldOptions): Promise<ScaffoldResult> {
  const { template = 'migration', now = new Date(), author } = options;
  const name = nameOf(options.description);
  const templates = templateNames();
  if (!templates.includes(template)) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `there is no template "${template}"`,
      hint: `choose one of ${templates.join(', ')}`,
    });
  }
  const version = nextVersion(options, now);
  const file = `${version}_${name}.sql`;
  const rollbackFile = `${version}_${name}${rollbackSuffix}`;
  const values = {
    file,
    rollback_file: rollbackFile,
    description: options.description.trim().replaceAll(/[\s_]+/g, ' '),
    author: author.replaceAll(/\s+/g, ' '),
    subject: subjectOf(name),
  };
  const texts = {
    migration: render(readTemplate(`${template}.sql`), values),
    rollback: render(readTemplate(`${template}${rollbackSuffix}`), values),
  };
  await requireSql(texts, values);
  const migration = join(options.migrations, file);
  const rollback = join(options.rollbacks, rollbackFile);
  writeNew(migration, texts.migration);
  try {
    writeNew(rollback, texts.rollback);
  } catch (error) {
    rmSync(migration);
    throw error;
  }
  return { version, migration, rollback, folderFlags: folderFlagsOf(options) };
}

/** A subject that SQL reserves, such as `order`, makes a file that does not parse. */
async function requireSql(
  texts: { readonly migration: string; readonly rollback: string },
  names: { readonly file: string; readonly rollback_file: string; readonly subject: string },
): Promise<void> {
  const migration = { name: names.file, text: texts.migration, checksum: '' };
  const rollback = { name: names.rollback_file, text: texts.rollback, checksum: '' };
  try {
    await readScripts([
      { file: migration, kind: 'migration' },
      { file: rollback, kind: 'rollback' },
    ]);
  } catch (cause) {
    if (!isError(cause, 'faulty-statements')) throw cause;
    throw new CryptosenseDbError(
      'bad-configuration',
      {
        message: `"${names.subject}" cannot be the name of a table`,
        evidence: cause.problems.map(({ message }) => message),
        hint: 'describe the change in other words: add_orders in place of add_order',
      },
      { cause },
    );
  }
}

function folderFlagsOf({ migrations, rollbacks }: SourceFolders): string {
  const isPackaged = realpathSync(migrations) === realpathSync(packagedMigrations);
  return isPackaged ? '' : ` --migrations ${migrations} --rollbacks ${rollbacks}`;
}

function nextVersion(folders: SourceFolders, now: Date): Version {
  const stamp = formatStamp(now);
  const newest = readMigrations(folders).at(-1)?.version;
  if (newest === undefined || compareVersions(newest, stamp) < 0) return stamp;
  const after = formatStamp(new Date((stampDate(newest)?.getTime() ?? 0) + 1000));
  if (isRealStamp(after)) return after;
  throw new CryptosenseDbError('bad-configuration', {
    message: `the newest migration is stamped ${newest}, and no stamp is later`,
    hint: 'give it the date on which it was written',
  });
}

const longestName = 100;

/** `Add price-alerts!` becomes `add_price_alerts`. */
function nameOf(description: string): string {
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
      message: `"${description}" gives a file name that ends as those of rollbacks do`,
      hint: 'describe the change in other words',
    });
  }
  return name;
}

/** What a change is about, as the name of a table: `create_price_alerts_table` is `price_alerts`. */
function subjectOf(name: string): string {
  const subject = name
    .replace(/^(create|add|make|new|index|update|backfill|change|fill)_/, '')
    .replace(/_(table|hypertable|index)$/, '');
  return (/^\d/.test(subject) ? `t_${subject}` : subject).slice(0, 40);
}

function readTemplate(name: string): string {
  return readFileSync(join(packagedTemplates, name), 'utf8');
}

function render(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{\{(\w+)\}\}/g, (placeholder, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`the template names ${placeholder}, which is unknown`);
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
