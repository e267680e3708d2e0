import { readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  compareVersions,
  formatStamp,
  isRealStamp,
  stampDate,
  type Version,
} from '../ledger/version.ts';
import { CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';
import { summariseFinding } from '../runtime/findings.ts';
import { packagedMigrations, packagedTemplates } from '../runtime/package.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import { type GrammarOptions, readScripts } from './scripts.ts';
import { type MigrationPair, readMigrations, type SourceFolders, sqlFile } from './source.ts';
import { rollbackSuffix, templateNames } from './templates.ts';

export interface ScaffoldOptions extends GrammarOptions {
  /** Words or a name: `add price alerts`, `add_price_alerts`. */
  readonly description: string;
  /** One of `templateNames()`. Default `migration`. */
  readonly template?: string | undefined;
  /** Existing folders, which get the new pair. */
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
  /** The flags with which `migrate up` finds the files: none for the packaged folders. */
  readonly folderFlags: string;
}

/**
 * Writes a new migration and its rollback from a template. The stamp is now, or one second after
 * the newest migration if that is later. Never overwrites a file; leaves both files or neither.
 * Throws `bad-configuration`, `faulty-folder`, `file-problem`.
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
    up: fillTemplate(`${template}.sql`, values),
    down: fillTemplate(`${template}${rollbackSuffix}`, values),
  };
  await requireSql(values.subject, {
    up: sqlFile(file, texts.up),
    down: sqlFile(rollbackFile, texts.down),
    beforeGrammar: options.beforeGrammar,
  });
  const migration = join(options.migrations, file);
  const rollback = join(options.rollbacks, rollbackFile);
  writeNew(migration, texts.up);
  try {
    writeNew(rollback, texts.down);
  } catch (error) {
    rmSync(migration);
    throw error;
  }
  return { version, migration, rollback, folderFlags: folderFlagsOf(options) };
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

function nextVersion(folders: SourceFolders, now: Date): Version {
  const stamp = formatStamp(now);
  const newest = readMigrations(folders).at(-1)?.version;
  if (newest === undefined || compareVersions(newest, stamp) < 0) return stamp;
  const after = formatStamp(new Date((stampDate(newest)?.getTime() ?? 0) + 1000));
  if (isRealStamp(after)) return after;
  throw new CryptosenseDbError('bad-configuration', {
    message: `the newest migration has the last possible stamp, ${newest}`,
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
