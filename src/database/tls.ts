import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type PeerCertificate,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import { CryptosenseDbError, hasCode, messageOf, type Problem } from '../runtime/errors.ts';
import { readBytes } from '../runtime/files.ts';
import type { TlsOptions } from './target.ts';

/** What `sslmode` and its files mean for a connection. */
export interface TlsSettings {
  /** false: a server without TLS is fine. */
  readonly isRequired: boolean;
  /** The certificate has to come from a known CA. */
  readonly isVerified: boolean;
  /** The certificate has to be made out for the host. */
  readonly isHostChecked: boolean;
  /** The server is told the name of the host, for servers with several certificates (SNI). */
  readonly isNameSent: boolean;
  /** TLS starts at once, without asking (PostgreSQL 17). */
  readonly isDirect: boolean;
  readonly options: ConnectionOptions;
  /** The file with the known CAs; undefined: those of Node. */
  readonly rootFile: string | undefined;
}

/** As in libpq, `sslrootcert=system` means the CAs that the machine trusts. Here, these are the CAs of Node. */
const systemRoots = 'system';

/**
 * Reads the files that the options name. undefined: without TLS. As in libpq, `require` with a root certificate
 * verifies, and the files in ~/.postgresql are used where they exist. Throws `file-problem`.
 */
export function readTls(tls: TlsOptions): TlsSettings | undefined {
  const { mode, rootCertificate: root, isNameSent = true, isDirect = false } = tls;
  if (mode === 'disable') return undefined;
  const isRequired = mode !== 'allow' && mode !== 'prefer';
  const isVerified = isRequired && (mode !== 'require' || root !== undefined);
  const rootFile = root === systemRoots ? undefined : (root ?? homeFile('root.crt'));
  return {
    isRequired,
    isVerified,
    isHostChecked: mode === 'verify-full' || (isVerified && root === systemRoots),
    isNameSent,
    isDirect,
    rootFile,
    options: {
      // `verifyServer` does it, with more to say.
      rejectUnauthorized: false,
      secureContext: secureContext(tls, isVerified ? rootFile : undefined),
      ...(isDirect && { ALPNProtocols: ['postgresql'] }),
    },
  };
}

function homeFile(name: string): string | undefined {
  const path = join(homedir(), '.postgresql', name);
  return existsSync(path) ? path : undefined;
}

function secureContext(tls: TlsOptions, rootFile: string | undefined) {
  const { passphrase, minVersion, maxVersion, revocationList } = tls;
  const certificate = tls.isCertificateSent === false ? undefined : certificateFile(tls);
  const key = certificate && (tls.key ?? homeFile('postgresql.key') ?? certificate);
  const options: SecureContextOptions = {
    ...(rootFile && { ca: readCertificates(rootFile) }),
    ...(revocationList && { crl: readPem(revocationList) }),
    ...(certificate && { cert: readCertificates(certificate) }),
    ...(key && { key: readPem(key) }),
    ...(passphrase !== undefined && { passphrase }),
    ...(minVersion && { minVersion }),
    ...(maxVersion && { maxVersion }),
  };
  try {
    return createSecureContext(options);
  } catch (cause) {
    throw fileProblem(
      key ?? revocationList ?? rootFile ?? '',
      keyFault(cause, { key, certificate }),
      cause,
    );
  }
}

function certificateFile({ certificate }: TlsOptions): string | undefined {
  return certificate ?? homeFile('postgresql.crt');
}

interface ClientFiles {
  readonly key: string | undefined;
  readonly certificate: string | undefined;
}

function keyFault(error: unknown, { key, certificate }: ClientFiles): Problem {
  if (hasCode(error, 'ERR_OSSL_X509_KEY_VALUES_MISMATCH')) {
    return {
      message: `the key ${key} does not belong to the certificate ${certificate}`,
      hint: 'name the key of this certificate with sslkey or PGSSLKEY',
    };
  }
  if (
    hasCode(error, 'ERR_MISSING_PASSPHRASE') ||
    /bad decrypt|interrupted or cancelled/i.test(messageOf(error))
  ) {
    return {
      message: `the key ${key} is encrypted, and sslpassword does not open it`,
      hint: 'give its passphrase with the parameter sslpassword',
    };
  }
  return {
    message: key
      ? `the key ${key} cannot be read, or not used with the certificate ${certificate}`
      : 'the TLS settings cannot be used',
    evidence: [messageOf(error)],
    hint: 'name files in PEM form with sslcert, sslkey, sslrootcert and sslcrl',
  };
}

function readPem(path: string): string {
  try {
    return readBytes(path).toString('utf8');
  } catch (cause) {
    const message = `the certificate file ${path} cannot be read`;
    throw fileProblem(path, { message, evidence: [messageOf(cause)] }, cause);
  }
}

/** Node passes over text that is no certificate, and then trusts none. */
function readCertificates(path: string): string {
  const text = readPem(path);
  try {
    new X509Certificate(text);
    return text;
  } catch (cause) {
    const message = `the file ${path} holds no certificate in PEM form`;
    const hint = 'a certificate begins with the line -----BEGIN CERTIFICATE-----';
    throw fileProblem(path, { message, evidence: [messageOf(cause)], hint }, cause);
  }
}

function fileProblem(path: string, problem: Problem, cause: unknown) {
  return new CryptosenseDbError('file-problem', problem, { details: { path }, cause });
}

/** An error with a hint of its own. */
export interface HintedError extends Error {
  readonly code: string;
  readonly hint: string;
}

/** A fault of TLS. Its message completes "the server …". */
export function tlsFault(code: string, message: string, hint: string): HintedError {
  return Object.assign(new Error(message), { code, hint });
}

/**
 * Throws a fault with its reason when the certificate of the server is not one to trust. `host` is the host as the
 * target names it: Node checks against "localhost" when the host is an address.
 */
export function verifyServer(socket: TLSSocket, host: string, settings: TlsSettings): void {
  if (!settings.isVerified) return;
  const certificate = socket.getPeerCertificate();
  if (!socket.authorized) {
    const code = String(socket.authorizationError);
    throw certificateFault({ code, certificate, rootFile: settings.rootFile });
  }
  if (!settings.isHostChecked) return;
  if (checkServerIdentity(host, certificate) === undefined) return;
  // As libpq, which also takes an address for a name.
  if (isIP(host) !== 0 && namesOf(certificate).includes(host)) return;
  throw tlsFault(
    'ERR_TLS_CERT_ALTNAME_INVALID',
    `has a certificate for ${namesOf(certificate).join(', ')}, and not for ${host}`,
    `connect to a name of the certificate, or give the server one with the alternative name ${host}`,
  );
}

interface RefusedCertificate {
  /** OpenSSL's name of the fault. */
  readonly code: string;
  readonly certificate: PeerCertificate;
  readonly rootFile: string | undefined;
}

function certificateFault({ code, certificate, rootFile }: RefusedCertificate): HintedError {
  const roots = rootFile ?? "Node's list of CAs (sslrootcert names none)";
  const issuer = `"${certificate.issuer?.CN ?? certificate.issuer?.O ?? 'unnamed'}"`;
  const known = `name a file with the certificate of the CA in sslrootcert or PGSSLROOTCERT`;
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return Date.parse(certificate.valid_to) < Date.now()
        ? tlsFault(
            code,
            `has a certificate that expired on ${certificate.valid_to}`,
            'renew the certificate of the server',
          )
        : tlsFault(
            code,
            `has a certificate whose CA, or a CA above it, has expired; its issuer is ${issuer}`,
            'renew the certificate of the CA, at the server and in sslrootcert',
          );
    case 'CERT_NOT_YET_VALID':
      return tlsFault(
        code,
        `has a certificate that is valid from ${certificate.valid_from} only, or one of its CAs is not valid yet`,
        'compare the clocks of this machine and of the machine that made the certificate',
      );
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return tlsFault(
        code,
        `has a self-signed certificate that is not in ${roots}`,
        'name a copy of the certificate in sslrootcert or PGSSLROOTCERT',
      );
    case 'SELF_SIGNED_CERT_IN_CHAIN':
      return tlsFault(
        code,
        `has a certificate whose root CA is not in ${roots}; its issuer is ${issuer}`,
        known,
      );
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_GET_ISSUER_CERT':
      return tlsFault(
        code,
        `has a certificate of the issuer ${issuer}, which is neither in ${roots} nor leads there by the certificates that the server sent`,
        `${known}, and let the server send the certificates between (ssl_cert_file)`,
      );
    case 'CERT_SIGNATURE_FAILURE':
      return tlsFault(
        code,
        `has a certificate that names the issuer ${issuer} without its signature: another CA of that name is in ${roots}`,
        known,
      );
    case 'CERT_REVOKED':
      return tlsFault(
        code,
        'has a certificate that the list in sslcrl revokes',
        'give the server a new certificate',
      );
    default:
      return tlsFault(
        code,
        `has a certificate that cannot be trusted: ${code}`,
        'look it up among the codes of OpenSSL: openssl verify -help',
      );
  }
}

/** The alternative names, else the name of the subject. A name in quotation marks, which may hold a comma, is one name. */
function namesOf({ subject, subjectaltname }: PeerCertificate): readonly string[] {
  const names = subjectaltname?.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g);
  return (
    names?.map((name) => name.trim().replace(/^(DNS|IP Address):/, '')) ?? [
      String(subject?.CN ?? 'no name'),
    ]
  );
}

/** The fault that an error of OpenSSL's in the handshake means; undefined for another error. */
export function handshakeFault(error: unknown): HintedError | undefined {
  const text = messageOf(error);
  if (
    /alert (unknown ca|bad certificate|certificate|handshake failure)|certificate required/i.test(
      text,
    )
  ) {
    return tlsFault(
      'CLIENT_CERTIFICATE_REFUSED',
      'did not accept the certificate of this client, or asks for one',
      'name a certificate from a CA that the server knows (its ssl_ca_file) with sslcert and sslkey',
    );
  }
  if (/unsupported protocol|alert protocol version|no protocols available/i.test(text)) {
    return tlsFault(
      'TLS_VERSION_REFUSED',
      'and this client have no version of TLS in common',
      'compare ssl_min_protocol_version and ssl_max_protocol_version on both sides',
    );
  }
  if (/wrong version number|packet length too long|record layer failure/i.test(text)) {
    return tlsFault(
      'TLS_BROKEN',
      'answered the start of TLS with something else',
      'check that the port is the one of PostgreSQL, and not one of a proxy',
    );
  }
  return undefined;
}
