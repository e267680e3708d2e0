import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

/** The paths of a certificate and its key, in PEM form. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Default: it signs itself. */
  readonly issuer?: Certificate;
  /** `DNS:localhost,IP:127.0.0.1` */
  readonly names?: string;
  readonly isCa?: boolean;
  /** Until when it is valid, from now. Default 1. */
  readonly days?: number;
}

/** Makes a certificate with openssl. */
export function makeCertificate(
  subject: string,
  { issuer, names, isCa = false, days = 1 }: CertificateOptions = {},
): Certificate {
  const folder = mkdtempSync(join(inject('runFolder'), 'certificate-'));
  const path = (name: string) => join(folder, name);
  const [key, request, certificate] = [path('key.pem'), path('request.pem'), path('cert.pem')];
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  openssl('req', '-new', '-key', key, '-subj', `/CN=${subject}`, '-out', request);
  const lines = [
    `basicConstraints=critical,CA:${isCa ? 'TRUE' : 'FALSE'}`,
    ...(names === undefined ? [] : [`subjectAltName=${names}`]),
  ];
  writeFileSync(path('extensions'), lines.join('\n'));
  const signer = issuer
    ? ['-CA', issuer.certificate, '-CAkey', issuer.key, '-CAcreateserial']
    : ['-signkey', key];
  openssl(
    ...['x509', '-req', '-in', request, '-out', certificate, '-days', String(days)],
    ...['-extfile', path('extensions'), ...signer],
  );
  return { certificate, key };
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'ignore'] });
}
