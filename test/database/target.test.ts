import { describe, expect, it } from 'vitest';
import {
  describeTarget,
  parseTarget,
  type ServerTarget,
  type TargetDefaults,
  targetUrl,
} from '../../src/database/target.ts';
import { errorOf, wordsOf } from '../support/errors.ts';

const defaults: TargetDefaults = { user: 'me' };

function parse(url: string, given = defaults): ServerTarget {
  const target = parseTarget(url, given);
  if (target.kind !== 'server') throw new Error('the URL names a server');
  return target;
}

describe('the hosts of a URL', () => {
  it.each([
    ['postgresql://h/d', 'h:5432/d'],
    ['postgres://h:1/d', 'h:1/d'],
    ['postgresql://h:/d', 'h:5432/d'],
    ['postgresql:///d', 'localhost:5432/d'],
    ['postgresql://', 'localhost:5432/me'],
    ['postgresql://h1:1,h2,h3:3/d', 'h1:1,h2:5432,h3:3/d'],
    ['postgresql://h1,h2/d?port=1,2', 'h1:1,h2:2/d'],
    ['postgresql://h1:9,h2/d?port=1,2', 'h1:9,h2:2/d'],
    ['postgresql://h1,h2/d?port=7', 'h1:7,h2:7/d'],
    ['postgresql:///d?host=h1,h2', 'h1:5432,h2:5432/d'],
    ['postgresql://[::1]/d', '[::1]:5432/d'],
    ['postgresql://[2001:db8::1]:1,[::1]:2/d', '[2001:db8::1]:1,[::1]:2/d'],
    ['postgresql://[fe80::1%25eth0]/d', '[fe80::1%eth0]:5432/d'],
    ['postgresql:///d?host=::1', '[::1]:5432/d'],
    ['postgresql:///d?host=%3A%3A1&port=1', '[::1]:1/d'],
    ['postgresql:///d?host=/run/postgresql', '/run/postgresql/.s.PGSQL.5432/d'],
    ['postgresql:///d?host=/a,/b&port=1,2', '/a/.s.PGSQL.1,/b/.s.PGSQL.2/d'],
    ['postgresql://%2Frun%2Fpostgresql:1/d', '/run/postgresql/.s.PGSQL.1/d'],
  ])('in %s are read as %s', (url, described) => {
    expect(describeTarget(parseTarget(url, defaults))).toBe(described);
  });
});

describe('the user, the password and the database of a URL', () => {
  it.each<[string, Partial<ServerTarget>]>([
    ['postgresql://u:p@h/d', { user: 'u', password: 'p', database: 'd' }],
    ['postgresql://u@h', { user: 'u', password: undefined, database: 'u' }],
    ['postgresql://:p@h/d', { user: 'me', password: 'p' }],
    ['postgresql://h/', { user: 'me', database: 'me' }],
    ['postgresql://u:p:q@h/d', { password: 'p:q' }],
    ['postgresql://u:p@q@h/d', { user: 'u', password: 'p@q' }],
    ['postgresql://u%40x:%3A%2F%3F%23%40%25%26@h/d', { user: 'u@x', password: ':/?#@%&' }],
    ['postgresql://h/a%2Fb%20c', { database: 'a/b c' }],
    ['postgresql://ü:ö@h/ä', { user: 'ü', password: 'ö', database: 'ä' }],
    ['postgresql://u:a+b@h/c+d', { password: 'a+b', database: 'c+d' }],
    [
      'postgresql://h/d?user=u&password=p%26q&dbname=e',
      { user: 'u', password: 'p&q', database: 'e' },
    ],
  ])('are read from %s', (url, expected) => {
    expect(parse(url)).toMatchObject(expected);
  });

  it('come from the defaults when the URL lacks them', () => {
    const given = {
      user: 'u',
      password: 'p',
      parameters: new Map([
        ['sslmode', 'verify-full'],
        ['sslrootcert', '/ca.pem'],
      ]),
    };
    expect(parse('postgresql://h/d', given)).toMatchObject({
      user: 'u',
      password: 'p',
      tls: { mode: 'verify-full', rootCertificate: '/ca.pem' },
    });
    expect(parse('postgresql://v:q@h/d?sslmode=disable', given)).toMatchObject({
      user: 'v',
      password: 'q',
      tls: { mode: 'disable' },
    });
  });

  it('need a user in the URL when the process has no login name', async () => {
    expect(parse('postgresql://u@h', { user: '' })).toMatchObject({ user: 'u', database: 'u' });
    await errorOf('bad-configuration', () => parseTarget('postgresql://h/d', { user: '' }));
  });
});

describe('the parameters of a URL', () => {
  it.each<[string, object]>([
    ['', { tls: { mode: 'prefer' }, connectTimeoutMs: 10_000, applicationName: 'cryptosense-db' }],
    ['sslmode=require', { tls: { mode: 'require' } }],
    [
      'sslmode=verify-full&sslrootcert=/ca&sslcert=/c&sslkey=/k',
      { tls: { mode: 'verify-full', rootCertificate: '/ca', certificate: '/c', key: '/k' } },
    ],
    ['connect_timeout=3', { connectTimeoutMs: 3_000 }],
    ['connect_timeout=0', { connectTimeoutMs: 10_000 }],
    ['application_name=a%20b', { applicationName: 'a b' }],
    ['target_session_attrs=read-write', {}],
    ['&&sslmode=allow&', { tls: { mode: 'allow' } }],
  ])('are read from %j', (query, expected) => {
    expect(parse(`postgresql://h/d?${query}`)).toMatchObject(expected);
  });
});

describe('the embedded engine', () => {
  it.each([
    ['embedded:', '.cryptosense'],
    ['embedded:folder', 'folder'],
    ['embedded:/a b/c', '/a b/c'],
    ['embedded::memory:', undefined],
  ])('is named by %s', (url, folder) => {
    expect(parseTarget(url, defaults)).toEqual({ kind: 'embedded', folder });
  });

  it('is described by the URL that names it', () => {
    for (const url of ['embedded:folder', 'embedded::memory:'])
      expect(describeTarget(parseTarget(url, defaults))).toBe(url);
  });
});

describe('a faulty URL', () => {
  it.each([
    '',
    'h/d',
    'mysql://h/d',
    'jdbc:postgresql://h/d',
    'postgresql:h',
    'postgresql:/h/d',
    'embedded',
    'postgresql://h/d#fragment',
    'postgresql://h:0/d',
    'postgresql://h:65536/d',
    'postgresql://h:five/d',
    'postgresql://h,/d',
    'postgresql://[::1/d',
    'postgresql://h/a/b',
    'postgresql://h/d%zz',
    'postgresql://u:%zz@h/d',
    'postgresql://h1,h2/d?port=1,2,3',
    'postgresql://h/d?sslmode=always',
    'postgresql://h/d?sslmode',
    'postgresql://h/d?unknown=1',
    'postgresql://h/d?connect_timeout=soon',
    'postgresql://h/d?connect_timeout=-1',
    'postgresql://h/d?target_session_attrs=standby',
  ])('is refused with a hint: %j', async (url) => {
    const error = await errorOf('bad-configuration', () => parseTarget(url, defaults));
    expect(error.problems).toMatchObject([{ hint: expect.any(String) }]);
  });

  it('is refused with the known parameters when it has an unknown one', async () => {
    const error = await errorOf('bad-configuration', () =>
      parseTarget('postgresql://h/d?sslmod=require', defaults),
    );
    expect(wordsOf(error)).toMatch(/"sslmod".*\bsslmode\b/s);
  });
});

describe('the parts of a password', () => {
  const pieces = ['hunter2', 'wordpass'];
  const joints = [
    '/',
    '?',
    '#',
    '@',
    ':',
    '%',
    '&',
    '=',
    ' ',
    ',',
    '[',
    ']',
    '//',
    '?x=',
    '/?',
    ':1/',
    '%2',
  ];
  const shapes = (password: string) => [
    `postgresql://user:${password}@host:5432/db`,
    `postgresql://user:${password}@host/db?sslmode=require`,
    `postgresql://user:${password}@host1:1,host2/db`,
    `postgresql://user:${password}@host`,
    `postgresql://user:${password}@[::1`,
    `postgresql://user:12/${password}@host/db`,
    `postgres:/user:${password}@host/db`,
    `${password}@host/db`,
    `postgresql://host/db?password=${password}`,
    `postgresql://host/db?user=user&password=${password}&sslmode=require`,
    `postgresql://host/db?password=${password}&unknown=1`,
  ];

  it.each(joints)('do not appear in a message or a description when they contain %j', (joint) => {
    for (const url of shapes(pieces.join(joint))) {
      const said = say(url);
      for (const piece of pieces)
        expect({ url, said }).not.toMatchObject({ said: expect.stringContaining(piece) });
    }
  });

  /** Every text that the tool shows of a URL: its description, or the error that refuses it. */
  function say(url: string): string {
    try {
      return describeTarget(parseTarget(url, defaults));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const { message, stack, cause } = error;
      return [message, stack, String(cause), JSON.stringify(error)].join('\n');
    }
  }
});

describe('what stands around a URL', () => {
  it.each(['\n', '\r\n', ' ', '\t', '\uFEFF'])('is taken off: %j', (space) => {
    const text = `${space}postgresql://u:p@h/d${space}`;
    expect(parse(text)).toEqual(parse('postgresql://u:p@h/d'));
  });
});

describe('a fault of a URL', () => {
  const faults: readonly (readonly [fault: string, url: string])[] = [
    ['quotes around it', '"postgresql://h/d"'],
    ['a line end inside', 'postgresql://h\n/d'],
    ['the scheme of JDBC', 'jdbc:postgresql://h/d'],
    ['the scheme of SQLAlchemy', 'postgresql+asyncpg://h/d'],
    ['the scheme of Prisma', 'prisma+postgres://h/d'],
    ['another scheme', 'mysql://h/d'],
    ['a scheme in capital letters', 'POSTGRESQL://h/d'],
    ['keywords and values', 'host=h dbname=d'],
    ['a string of ADO.NET', 'Host=h;Database=d'],
    ['no scheme', 'h:5432/d'],
    ['no text', ''],
    ['no slashes', 'postgresql:h/d'],
    ['a #', 'postgresql://u:a#b@h/d'],
    ['a / in the password', 'postgresql://u:a/b@h/d'],
    ['a bare %', 'postgresql://u:a%b@h/d'],
    ['a zero byte', 'postgresql://u@h/d%00options'],
    ['a port that is none', 'postgresql://h:x/d'],
    ['an empty host', 'postgresql://h,/d'],
    ['too many ports', 'postgresql://a,b/d?port=1,2,3'],
    ['too many addresses', 'postgresql://a/d?hostaddr=10.0.0.1,10.0.0.2'],
    ['an address that is a name', 'postgresql://a/d?hostaddr=b'],
    [
      'a CA for everyone without a check of the host',
      'postgresql://h/d?sslmode=require&sslrootcert=system',
    ],
    ['TLS at once without TLS', 'postgresql://h/d?sslmode=prefer&sslnegotiation=direct'],
    ['an unknown parameter', 'postgresql://h/d?unknown=1'],
    ...[
      'pgbouncer=true',
      'schema=public',
      'connection_limit=1',
      'prepareThreshold=0',
      'currentSchema=x',
      'ssl=true',
      'sslmode=no-verify',
      'options=endpoint%3Dep-x-1',
      'statement_timeout=1',
      'channel_binding=require',
      'require_auth=scram-sha-256',
      'service=x',
      'servicefile=x',
      'gssencmode=require',
      'krbsrvname=x',
      'gsslib=gssapi',
      'gssdelegation=1',
      'keepalives=2',
      'keepalives_idle=x',
      'keepalives_interval=1',
      'keepalives_count=1',
      'tcp_user_timeout=1',
      'replication=database',
      'requiressl=2',
      'requirepeer=x',
      'sslcertmode=require',
      'sslcompression=1',
      'sslcrldir=x',
      'sslkeylogfile=x',
      'sslsni=2',
      'ssl_min_protocol_version=SSLv3',
      'min_protocol_version=3.2',
      'max_protocol_version=4',
      'load_balance_hosts=always',
      'target_session_attrs=standby',
      'client_encoding=LATIN1',
      'scram_client_key=x',
      'oauth_issuer=x',
    ].map((query) => [`the parameter ${query}`, `postgresql://h/d?${query}`] as const),
  ];

  it('is told in a sentence of its own, with a hint of its own kind', async () => {
    const told = new Map<string, string>();
    for (const [fault, url] of faults) {
      const error = await errorOf('bad-configuration', () => parseTarget(url, defaults));
      const { message = '', hint = '' } = error.problems[0] ?? {};
      expect(hint).not.toBe('');
      expect({ fault, alike: told.get(message) }).toEqual({ fault, alike: undefined });
      told.set(message, fault);
    }
  });

  it.each(faults.filter(([fault]) => fault.startsWith('the parameter')))(
    'names %s',
    async (fault, url) => {
      const error = await errorOf('bad-configuration', () => parseTarget(url, defaults));
      const [name = ''] = fault.replace('the parameter ', '').split('=');
      expect(wordsOf(error).toLowerCase()).toContain(name.toLowerCase());
    },
  );
});

describe('the parameters of libpq', () => {
  it.each<[string, object]>([
    ['options=-c%20statement_timeout%3D5', { settings: { options: '-c statement_timeout=5' } }],
    ['fallback_application_name=a', { applicationName: 'a' }],
    ['fallback_application_name=a&application_name=b', { applicationName: 'b' }],
    ['keepalives=0', { keepAliveMs: undefined }],
    ['keepalives_idle=7', { keepAliveMs: 7_000 }],
    ['keepalives=1&keepalives_count=0&tcp_user_timeout=0', { keepAliveMs: 60_000 }],
    ['load_balance_hosts=random', { isOrderRandom: true }],
    ['hostaddr=10.0.0.1', { hosts: [{ host: 'h', port: 5432, address: '10.0.0.1' }] }],
    ['passfile=/p', { passwordFile: '/p' }],
    ['channel_binding=prefer&gssencmode=prefer&client_encoding=UTF8', {}],
    ['requiressl=1', { tls: { mode: 'require' } }],
    ['sslrootcert=system', { tls: { mode: 'verify-full', rootCertificate: 'system' } }],
    ['sslpassword=s&sslcrl=/crl', { tls: { passphrase: 's', revocationList: '/crl' } }],
    ['sslsni=0&sslcertmode=disable', { tls: { isNameSent: false, isCertificateSent: false } }],
    [
      'ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.3',
      { tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' } },
    ],
    ['sslmode=require&sslnegotiation=direct', { tls: { isDirect: true } }],
  ])('are honoured, and stay in the URL of the target: %s', (query, expected) => {
    const target = parse(`postgresql://u@h/d?${query}`);
    expect(target).toMatchObject(expected);
    expect(parse(targetUrl(target))).toEqual(target);
  });
});
