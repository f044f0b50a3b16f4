// A profile is who listens, on a network that knows no passwords: a name, and under it playlists, stars, ratings and plays. It IS
// its name, in the form that compares; so two sides of a partition that both make 'Anna' have made one profile.
//
// `profile/<profile>` -> [name as shown, …]
import { checker } from './check.ts';
import { decode, encode } from './codec.ts';
import { PeerError } from './errors.ts';
import { PROFILE_CHARACTERS_MAX, VALUE_BYTES_MAX } from './limits.ts';
import type { Value } from './operation.ts';
import { comparable, typedName } from './typed-names.ts';

export type Profile = string & { readonly __brand: 'Profile' };

export interface NamedProfile {
  readonly profile: Profile;
  /** As its owner typed it. */
  readonly name: string;
}

const check = checker('BAD_OPERATION');
const LENGTH = { what: "a profile's name", charactersMax: PROFILE_CHARACTERS_MAX } as const;

/** @throws PeerError BAD_USAGE */
export function profileNamed(text: string): NamedProfile {
  const name = typedName(text, LENGTH);
  // a few letters are longer in lower case
  return { profile: typedName(comparable(name), LENGTH) as Profile, name };
}

/** @throws PeerError BAD_OPERATION */
export function checkProfile(value: unknown): Profile {
  const text = check.text(value, PROFILE_CHARACTERS_MAX);
  return isProfile(text) ? text : check.fail('a profile');
}

function isProfile(text: string): text is Profile {
  try {
    return profileNamed(text).profile === text;
  } catch {
    return false;
  }
}

/** What would part a key, and what sorts behind the end of a range of keys; everything else stays as people read it. */
const ESCAPED = /[%/\u{10000}-\u{10ffff}]/gu;

/** A profile as one part of a key. */
export const profilePart = (profile: Profile): string => profile.replace(ESCAPED, encodeURIComponent);

/** @returns undefined when `part` is no profile, or not in the one form that it has in keys */
export function parseProfilePart(part: string | undefined): Profile | undefined {
  if (part === undefined) return undefined;
  try {
    const text = decodeURIComponent(part);
    return isProfile(text) && profilePart(text) === part ? text : undefined;
  } catch {
    return undefined; // a broken escape
  }
}

export const profileKey = (profile: Profile): string => `profile/${profilePart(profile)}`;

export function parseProfileKey(key: string): Profile | undefined {
  const [kind, part, more] = key.split('/');
  return kind === 'profile' && more === undefined ? parseProfilePart(part) : undefined;
}

export const encodeProfile = (name: string): Value => encode([name]);

/** @throws PeerError BAD_OPERATION, also for a name that is another profile's: nobody is shown under it */
export function decodeProfile(profile: Profile, value: Value): string {
  const [name] = check.list(decode(value, { bytesMax: VALUE_BYTES_MAX, code: 'BAD_OPERATION' }), 1);
  const text = check.text(name, PROFILE_CHARACTERS_MAX);
  try {
    const named = profileNamed(text);
    if (named.profile === profile && named.name === text) return text;
  } catch (cause) {
    throw new PeerError('BAD_OPERATION', 'malformed: a name', { cause });
  }
  return check.fail('a name of another profile');
}
