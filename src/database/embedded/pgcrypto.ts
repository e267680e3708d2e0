/**
 * A stand-in in SQL for the extension pgcrypto (https://www.postgresql.org/docs/17/pgcrypto.html),
 * which the embedded engine lacks. It implements the functions that core PostgreSQL can compute.
 * Every other function exists with its signature and raises an error.
 */

const missing = "is not available in the embedded engine's stand-in for pgcrypto";
const remedy = 'run against a PostgreSQL server, which has the real extension';

/** As in pgcrypto, a NULL argument gives NULL (STRICT). */
const unavailableFunctions = [
  'crypt(text, text) returns text immutable',
  'gen_salt(text) returns text volatile',
  'gen_salt(text, int4) returns text volatile',
  'encrypt(bytea, bytea, text) returns bytea immutable',
  'decrypt(bytea, bytea, text) returns bytea immutable',
  'encrypt_iv(bytea, bytea, bytea, text) returns bytea immutable',
  'decrypt_iv(bytea, bytea, bytea, text) returns bytea immutable',
  'pgp_sym_encrypt(text, text) returns bytea volatile',
  'pgp_sym_encrypt(text, text, text) returns bytea volatile',
  'pgp_sym_encrypt_bytea(bytea, text) returns bytea volatile',
  'pgp_sym_encrypt_bytea(bytea, text, text) returns bytea volatile',
  'pgp_sym_decrypt(bytea, text) returns text immutable',
  'pgp_sym_decrypt(bytea, text, text) returns text immutable',
  'pgp_sym_decrypt_bytea(bytea, text) returns bytea immutable',
  'pgp_sym_decrypt_bytea(bytea, text, text) returns bytea immutable',
  'pgp_pub_encrypt(text, bytea) returns bytea volatile',
  'pgp_pub_encrypt(text, bytea, text) returns bytea volatile',
  'pgp_pub_encrypt_bytea(bytea, bytea) returns bytea volatile',
  'pgp_pub_encrypt_bytea(bytea, bytea, text) returns bytea volatile',
  'pgp_pub_decrypt(bytea, bytea) returns text immutable',
  'pgp_pub_decrypt(bytea, bytea, text) returns text immutable',
  'pgp_pub_decrypt(bytea, bytea, text, text) returns text immutable',
  'pgp_pub_decrypt_bytea(bytea, bytea) returns bytea immutable',
  'pgp_pub_decrypt_bytea(bytea, bytea, text) returns bytea immutable',
  'pgp_pub_decrypt_bytea(bytea, bytea, text, text) returns bytea immutable',
  'pgp_key_id(bytea) returns text immutable',
  'armor(bytea) returns text immutable',
  'armor(bytea, text[], text[]) returns text immutable',
  'dearmor(text) returns bytea immutable',
  'pgp_armor_headers(text, out key text, out value text) returns setof record immutable',
];

/** The control file. PostgreSQL 15 to 17 come with the same version of pgcrypto. */
export const pgcryptoControl = `comment = 'a stand-in for pgcrypto: hashes, HMACs and random bytes, no encryption'
default_version = '1.3'
relocatable = false
trusted = true
`;

/** The script of version 1.3. */
export const pgcryptoScript = `
create function digest(data bytea, type text) returns bytea
language plpgsql immutable strict parallel safe as $$
begin
  case lower(type)
    when 'md5' then return pg_catalog.decode(pg_catalog.md5(data), 'hex');
    when 'sha224' then return pg_catalog.sha224(data);
    when 'sha256' then return pg_catalog.sha256(data);
    when 'sha384' then return pg_catalog.sha384(data);
    when 'sha512' then return pg_catalog.sha512(data);
    when 'sha1' then
      raise feature_not_supported using message = ${literal(`the algorithm sha1 ${missing}`)}, hint = ${literal(remedy)};
    else
      raise invalid_parameter_value using message = pg_catalog.format('Cannot use "%s": No such hash algorithm', type);
  end case;
end
$$;

create function digest(data text, type text) returns bytea
language sql immutable strict parallel safe as $$
  select @extschema@.digest(pg_catalog.convert_to(data, 'UTF8'), type)
$$;

-- RFC 2104: H(key xor opad, H(key xor ipad, data)), the key hashed when longer than a block.
create function hmac(data bytea, key bytea, type text) returns bytea
language plpgsql immutable strict parallel safe as $$
declare
  block constant int := case when lower(type) in ('sha384', 'sha512') then 128 else 64 end;
  inner_key bytea := case when length(key) > block then @extschema@.digest(key, type) else key end;
  outer_key bytea;
begin
  inner_key := inner_key || decode(repeat('00', block - length(inner_key)), 'hex');
  outer_key := inner_key;
  for i in 0 .. block - 1 loop
    inner_key := set_byte(inner_key, i, get_byte(inner_key, i) # 54);
    outer_key := set_byte(outer_key, i, get_byte(outer_key, i) # 92);
  end loop;
  return @extschema@.digest(outer_key || @extschema@.digest(inner_key || data, type), type);
end
$$;

create function hmac(data text, key text, type text) returns bytea
language sql immutable strict parallel safe as $$
  select @extschema@.hmac(pg_catalog.convert_to(data, 'UTF8'), pg_catalog.convert_to(key, 'UTF8'), type)
$$;

-- A version 4 UUID has 122 random bits, so three UUIDs have more than the 256 bits of the hash.
create function gen_random_bytes(count int4) returns bytea
language plpgsql volatile strict parallel safe as $$
begin
  if count < 1 or count > 1024 then
    raise external_routine_invocation_exception using message = 'Length not in range';
  end if;
  return (
    select pg_catalog.substring(pg_catalog.string_agg(pg_catalog.sha256(
      pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
      || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
      || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    ), ''::bytea), 1, count)
    from pg_catalog.generate_series(1, (count + 31) / 32)
  );
end
$$;

create function gen_random_uuid() returns uuid
language sql volatile parallel safe as $$
  select pg_catalog.gen_random_uuid()
$$;
${unavailableFunctions.map(unavailable).join('')}`;

function unavailable(signature: string): string {
  const name = signature.slice(0, signature.indexOf('('));
  return `
create function ${signature} language plpgsql strict parallel safe as $$
begin
  raise feature_not_supported using message = ${literal(`${name} ${missing}`)}, hint = ${literal(remedy)};
end
$$;
`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
