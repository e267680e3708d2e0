import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTarget, type TargetFlags } from '../src/config.ts';
import { describeTarget } from '../src/database/target.ts';
import { errorOf, wordsOf } from './support/errors.ts';
import { temporaryFolder } from './support/fixtures.ts';

type Variables = Readonly<Record<string, string>>;

interface Scene {
  readonly flags?: TargetFlags;
  readonly environment?: Variables;
  /** The text of `.env`. */
  readonly dotEnv?: string;
}

function read({ flags = {}, environment = {}, dotEnv }: Scene) {
  const folder = temporaryFolder();
  if (dotEnv !== undefined) writeFileSync(join(folder, '.env'), dotEnv);
  return readTarget(flags, { environment, folder, osUser: 'me' });
}

/** `user:password@host:port/database`, or the embedded folder. */
function summary(scene: Scene): string {
  const target = read(scene);
  if (target.kind === 'embedded') return describeTarget(target);
  const { user, password } = target;
  return `${user}${password === undefined ? '' : `:${password}`}@${describeTarget(target)}`;
}

const url = (host: string) => `postgresql://${host}/d`;

describe('readTarget', () => {
  it.each<[string, Scene, string]>([
    [
      '--url',
      { flags: { url: url('flag') }, environment: { DATABASE_URL: url('env') } },
      'me@flag:5432/d',
    ],
    [
      'the environment rather than .env',
      { environment: { DATABASE_URL: url('env') }, dotEnv: `DATABASE_URL=${url('file')}` },
      'me@env:5432/d',
    ],
    ['.env', { dotEnv: `# ours\nDATABASE_URL="${url('file')}"\n` }, 'me@file:5432/d'],
    [
      '.env, when the variable of the environment is empty',
      { environment: { DATABASE_URL: '' }, dotEnv: `DATABASE_URL=${url('file')}` },
      'me@file:5432/d',
    ],
    [
      'DATABASE_URL rather than DATABASE_HOST',
      { environment: { DATABASE_URL: url('url'), DATABASE_HOST: 'host', DATABASE_NAME: 'n' } },
      'me@url:5432/d',
    ],
    [
      'DATABASE_HOST and its group',
      {
        environment: {
          DATABASE_HOST: 'host',
          DATABASE_PORT: '1',
          DATABASE_NAME: 'n',
          DATABASE_USER: 'u',
          DATABASE_PASSWORD: 'p',
        },
      },
      'u:p@host:1/n',
    ],
    ['DATABASE_NAME alone', { environment: { DATABASE_NAME: 'n' } }, 'me@localhost:5432/n'],
    [
      'DATABASE_HOST rather than PGHOST',
      { environment: { DATABASE_HOST: 'host', DATABASE_NAME: 'n', PGHOST: 'pg', PGDATABASE: 'x' } },
      'me@host:5432/n',
    ],
    [
      "libpq's variables",
      { environment: { PGHOST: 'pg', PGPORT: '2', PGDATABASE: 'x', PGUSER: 'u', PGPASSWORD: 'p' } },
      'u:p@pg:2/x',
    ],
    ['PGHOST alone', { environment: { PGHOST: 'pg' } }, 'me@pg:5432/me'],
    ['PGDATABASE alone', { environment: { PGDATABASE: 'x' } }, 'me@localhost:5432/x'],
    [
      'PGHOST with several hosts',
      { environment: { PGHOST: 'a,b', PGPORT: '1,2', PGDATABASE: 'x' } },
      'me@a:1,b:2/x',
    ],
    ['an IPv6 address', { environment: { PGHOST: '::1', PGDATABASE: 'x' } }, 'me@[::1]:5432/x'],
    [
      "a socket's folder",
      { environment: { PGHOST: '/run/postgresql', PGDATABASE: 'x' } },
      'me@/run/postgresql/.s.PGSQL.5432/x',
    ],
    [
      'names and passwords with the characters of URLs',
      {
        environment: {
          DATABASE_HOST: 'host',
          DATABASE_NAME: 'a/b?c@d',
          DATABASE_USER: 'u:/@%',
          DATABASE_PASSWORD: 'p:/?#@ %&+',
        },
      },
      'u:/@%:p:/?#@ %&+@host:5432/a/b?c@d',
    ],
    [
      'a URL, with the user and the password of the environment',
      { flags: { url: url('flag') }, environment: { DATABASE_USER: 'u', PGPASSWORD: 'p' } },
      'u:p@flag:5432/d',
    ],
    [
      "the environment's DATABASE_HOST rather than DATABASE_URL of .env",
      {
        environment: { DATABASE_HOST: 'host', DATABASE_NAME: 'n' },
        dotEnv: `DATABASE_URL=${url('file')}\nDATABASE_PORT=1\n`,
      },
      'me@host:5432/n',
    ],
    [
      "the environment's PGHOST rather than .env",
      {
        environment: { PGHOST: 'pg', PGDATABASE: 'x' },
        dotEnv: `DATABASE_URL=${url('file')}\nDATABASE_HOST=file\nDATABASE_NAME=n\nPGPORT=1\n`,
      },
      'me@pg:5432/x',
    ],
    [
      'user and password of .env where the environment has none',
      {
        environment: { PGDATABASE: 'x' },
        dotEnv: 'PGUSER=u\nDATABASE_PASSWORD=p\n',
      },
      'u:p@localhost:5432/x',
    ],
    [
      "the environment's password rather than one of .env",
      {
        environment: { PGDATABASE: 'x', PGUSER: 'u', PGPASSWORD: 'p' },
        dotEnv: 'DATABASE_USER=v\nDATABASE_PASSWORD=q\n',
      },
      'u:p@localhost:5432/x',
    ],
    [
      'a host of the environment with the database of .env',
      {
        environment: { DATABASE_HOST: 'host' },
        dotEnv: `DATABASE_URL=${url('file')}\nDATABASE_HOST=file\nDATABASE_NAME=n\n`,
      },
      'me@host:5432/n',
    ],
    [
      '--embedded',
      { flags: { embedded: true }, environment: { DATABASE_URL: url('env') } },
      'embedded:.cryptosense',
    ],
    ['--embedded with a folder', { flags: { embedded: 'there' } }, 'embedded:there'],
    ['--embedded in memory', { flags: { embedded: ':memory:' } }, 'embedded::memory:'],
    ['an embedded URL', { environment: { DATABASE_URL: 'embedded:there' } }, 'embedded:there'],
  ])('chooses the database by %s', (_, scene, expected) => {
    expect(summary(scene)).toBe(expected);
  });

  it('uses PGSSLMODE and PGSSLROOTCERT for what the URL leaves out', () => {
    const environment = { PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '/ca' };
    const rootCertificate = '/ca';
    expect(read({ flags: { url: url('h') }, environment })).toMatchObject({
      tls: { mode: 'verify-ca', rootCertificate },
    });
    expect(read({ flags: { url: `${url('h')}?sslmode=disable` }, environment })).toMatchObject({
      tls: { mode: 'disable', rootCertificate },
    });
  });
});

describe('readTarget with a fault', () => {
  it.each<[string, Scene]>([
    ['nothing is named', {}],
    ['only a user is named', { environment: { DATABASE_USER: 'u', PGPASSWORD: 'p', PGPORT: '1' } }],
  ])('lists the ways to name a target when %s', async (_, scene) => {
    const error = await errorOf('no-target', () => read(scene));
    for (const way of ['--url', 'DATABASE_URL', 'DATABASE_HOST', 'PGHOST', '--embedded'])
      expect(wordsOf(error)).toContain(way);
  });

  it.each<[string, Scene]>([
    ['--url and --embedded', { flags: { url: url('h'), embedded: true } }],
    ['a host without a database', { environment: { DATABASE_HOST: 'h' } }],
    ['a port that is out of range', { environment: { DATABASE_NAME: 'd', DATABASE_PORT: '0' } }],
    ['a text that is not a URL', { environment: { DATABASE_URL: 'h/d' } }],
  ])('refuses %s', async (_, scene) => {
    await errorOf('bad-configuration', () => read(scene));
  });

  it.each<[string, Scene, readonly string[]]>([
    [
      'DATABASE_HOST and its group',
      {
        environment: { DATABASE_HOST: 'h', DATABASE_PORT: 'five', PGPORT: '0' },
        dotEnv: 'PGSSLMODE=always\n',
      },
      ['DATABASE_HOST', 'DATABASE_PORT', 'PGSSLMODE'],
    ],
    [
      "libpq's variables",
      { dotEnv: 'PGHOST=h\nPGPORT=70000\nPGSSLMODE=always\nDATABASE_PORT=five\n' },
      ['PGPORT', 'PGSSLMODE'],
    ],
  ])('reports several faults of %s at once', async (_, scene, expected) => {
    const { problems } = await errorOf('bad-configuration', () => read(scene));
    const named = problems.map(({ message }) => message.split(' ')[0]);
    expect(named.sort()).toEqual(expected);
  });

  // Kubernetes sets such a port for a service of the name "database".
  const DATABASE_PORT = 'tcp://10.0.0.1:5432';
  it.each<[string, Scene]>([
    ['--url', { flags: { url: url('h') }, environment: { DATABASE_PORT } }],
    [
      '--embedded',
      { flags: { embedded: true }, environment: { DATABASE_PORT, PGSSLMODE: 'always' } },
    ],
    [
      'an embedded URL',
      { environment: { DATABASE_URL: 'embedded:', DATABASE_PORT, PGSSLMODE: 'always' } },
    ],
    ['DATABASE_URL', { environment: { DATABASE_URL: url('h'), DATABASE_PORT, PGPORT: '0' } }],
    ['PGHOST', { environment: { PGHOST: 'h', DATABASE_PORT } }],
    ['.env', { environment: { DATABASE_PORT }, dotEnv: `DATABASE_URL=${url('h')}` }],
  ])('ignores faulty variables that are not in use when the target is from %s', (_, scene) => {
    expect(() => read(scene)).not.toThrow();
  });

  it('refuses an unreadable .env', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, '.env'));
    await errorOf('file-problem', () => readTarget({}, { environment: {}, folder, osUser: 'me' }));
  });

  it.each<[string, TargetFlags, Variables]>([
    ['--url', { url: url('h') }, {}],
    ['--embedded', { embedded: true }, {}],
    ['the environment', {}, { PGHOST: 'h' }],
  ])('ignores an unreadable .env when the target is from %s', (_, flags, environment) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, '.env'));
    expect(() => readTarget(flags, { environment, folder, osUser: 'me' })).not.toThrow();
  });
});

describe('a variable of libpq', () => {
  const named = { PGHOST: 'h', PGDATABASE: 'd', PGUSER: 'u' };
  it.each<[Variables, object]>([
    [{ PGOPTIONS: '-c geqo=off' }, { settings: { options: '-c geqo=off' } }],
    [
      { PGTZ: 'UTC', PGDATESTYLE: 'ISO, DMY' },
      { settings: { TimeZone: 'UTC', DateStyle: 'ISO, DMY' } },
    ],
    [{ PGAPPNAME: 'app' }, { applicationName: 'app' }],
    [{ PGCONNECT_TIMEOUT: '3' }, { connectTimeoutMs: 3_000 }],
    [{ PGPASSFILE: '/p' }, { passwordFile: '/p' }],
    [{ PGHOSTADDR: '10.0.0.1' }, { hosts: [{ host: 'h', port: 5432, address: '10.0.0.1' }] }],
    [{ PGSSLCERT: '/c', PGSSLKEY: '/k' }, { tls: { certificate: '/c', key: '/k' } }],
    [{ PGREQUIRESSL: '1' }, { tls: { mode: 'require' } }],
    [{ PGLOADBALANCEHOSTS: 'random' }, { isOrderRandom: true }],
    [{ PGCHANNELBINDING: 'prefer', PGGSSENCMODE: 'disable', PGSSLCOMPRESSION: '0' }, {}],
  ])('is honoured: %j', (environment, expected) => {
    expect(read({ environment: { ...named, ...environment } })).toMatchObject(expected);
  });

  it.each<Variables>([
    { PGSERVICE: 'x' },
    { PGSERVICEFILE: '/x' },
    { PGCHANNELBINDING: 'require' },
    { PGREQUIREAUTH: 'md5' },
    { PGREQUIREPEER: 'x' },
    { PGGSSENCMODE: 'require' },
    { PGGSSLIB: 'x' },
    { PGKRBSRVNAME: 'x' },
    { PGSSLCRLDIR: '/x' },
    { PGSSLCERTMODE: 'require' },
    { PGSSLMINPROTOCOLVERSION: 'SSLv3' },
    { PGTARGETSESSIONATTRS: 'standby' },
    { PGCLIENTENCODING: 'LATIN1' },
    { PGCONNECT_TIMEOUT: 'soon' },
  ])('is refused by its name, with a hint, for a URL too: %j', async (variables) => {
    const [name = ''] = Object.keys(variables);
    for (const environment of [named, { DATABASE_URL: url('h') }]) {
      const { problems } = await errorOf('bad-configuration', () =>
        read({ environment: { ...environment, ...variables } }),
      );
      expect(problems).toMatchObject([
        { message: expect.stringContaining(name), hint: expect.stringContaining(name) },
      ]);
    }
  });

  it('gives way to a parameter of the URL', () => {
    const environment = { PGAPPNAME: 'variable', PGOPTIONS: '-c geqo=off' };
    const flags = { url: `${url('h')}?application_name=parameter` };
    expect(read({ flags, environment })).toMatchObject({
      applicationName: 'parameter',
      settings: { options: '-c geqo=off' },
    });
  });
});

describe('what a mounted secret adds', () => {
  it.each(['\n', '\r\n', ' '])('is taken off a URL, a name and a password: %j', (space) => {
    const DATABASE_URL = `${space}${url('h')}${space}`;
    expect(summary({ environment: { DATABASE_URL } })).toBe('me@h:5432/d');
    expect(summary({ flags: { url: DATABASE_URL } })).toBe('me@h:5432/d');
    const environment = {
      DATABASE_HOST: `h${space}`,
      DATABASE_NAME: `n${space}`,
      DATABASE_USER: `u${space}`,
      DATABASE_PASSWORD: `${space}p${space}`,
    };
    expect(summary({ environment })).toBe('u:p@h:5432/n');
  });
});
