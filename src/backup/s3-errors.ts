import { type CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { storeFailed } from './store.ts';

const keysHint =
  'check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names';
const endpointHint = 'check the network, and the server that --endpoint names';
const authorityHint =
  'trust the authority of the server: NODE_EXTRA_CA_CERTS=/path/of/its/certificate.pem';

/** By the name of S3's error, or the code of Node's. */
const hints: Readonly<Record<string, string>> = {
  InvalidAccessKeyId: keysHint,
  SignatureDoesNotMatch: keysHint,
  CredentialsProviderError: keysHint,
  ExpiredToken: 'the keys were lent for a time that is over: get new ones, or log in again',
  ExpiredTokenException:
    'the keys were lent for a time that is over: get new ones, or log in again',
  RequestTimeTooSkewed: 'set the clock of this machine',
  AccessDenied:
    'grant the keys s3:ListBucket and s3:ListBucketMultipartUploads on the bucket; s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListMultipartUploadParts and s3:AbortMultipartUpload on its objects; and the use of the KMS key, where one encrypts them',
  NoSuchBucket: 'create the bucket, or name another one with --store',
  PermanentRedirect: 'set AWS_REGION to the region of the bucket',
  AuthorizationHeaderMalformed: 'set AWS_REGION to the region of the bucket',
  NotImplemented: 'for a server that does not encrypt at rest: --sse none',
  PreconditionFailed: 'the object was replaced while it was read: try again',
  SlowDown: 'try again later, or with more attempts: AWS_MAX_ATTEMPTS=10',
  ENOTFOUND: endpointHint,
  EAI_AGAIN: endpointHint,
  ECONNREFUSED: endpointHint,
  ECONNRESET: endpointHint,
  EHOSTUNREACH: endpointHint,
  ENETUNREACH: endpointHint,
  TimeoutError: endpointHint,
  EPROTO: 'the server may not speak TLS at this port: try http:// in --endpoint',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'the server may not speak TLS at this port: try http:// in --endpoint',
  DEPTH_ZERO_SELF_SIGNED_CERT: authorityHint,
  SELF_SIGNED_CERT_IN_CHAIN: authorityHint,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: authorityHint,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: authorityHint,
  CERT_HAS_EXPIRED: 'renew the certificate of the server',
  ERR_TLS_CERT_ALTNAME_INVALID: 'name the server in --endpoint as its certificate does',
};

/** An error of the SDK, or of the network below it. Holds no key: S3's messages repeat none. */
export function s3Failed(store: string, cause: unknown): CryptosenseDbError<'store-failed'> {
  const names = namesOf(cause);
  const hint = names.map((name) => hints[name]).find((each) => each !== undefined);
  const [name] = names.filter((each) => each !== 'Error');
  const message = messageOf(cause);
  const fact = name === undefined || message.includes(name) ? message : `${name}: ${message}`;
  return storeFailed(store, { fact, hint, cause });
}

export function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}

/** True when the server has answered that it did not do it. */
export function isRefused(error: unknown): boolean {
  const { $metadata }: { readonly $metadata?: { readonly httpStatusCode?: number } } =
    Object(error);
  const status = $metadata?.httpStatusCode ?? 0;
  return status >= 400 && status < 500;
}

/** The name and the code of the error, and of those that it holds. */
function namesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const parts: readonly unknown[] = error instanceof AggregateError ? error.errors : [];
  const code = 'code' in error && typeof error.code === 'string' ? [error.code] : [];
  return [...code, error.name, ...parts.flatMap(namesOf)];
}
