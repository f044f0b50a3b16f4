// Who may do what over HTTP. A browser proves the machine's token by a cookie that a login link set, a program by
// `Authorization: Bearer`. Loopback is no free pass: any page of the web can make a browser call this server, under a
// name that it made point here (DNS rebinding) or from its own origin, so Host and Origin are checked for everybody.
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { PeerError } from '../../lib/errors.ts';
import { hex } from '../../lib/ids.ts';
import { HTTP_ADDRESSES_MAX, HTTP_CHANGES_BURST, HTTP_CHANGES_PER_SECOND, HTTP_SESSION_LIFE_MS, LOGIN_LINK_LIFE_MS, LOGIN_LINKS_MAX } from '../../lib/limits.ts';
import type { Clock, Millis } from '../../lib/time.ts';

/** anybody; who may listen on this network; who has the machine's token. */
export type Audience = 'anybody' | 'listener' | 'owner';

const BEARER = /^Bearer +(\S+)$/i;
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** In constant time, whatever the lengths. */
const same = (a: string, b: string): boolean =>
  timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());

/** 'host:port' or '[v6]:port' without the port, in lower case; undefined when it is neither. */
export function hostnameOf(host: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^:[\]/@\s]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '');
}

/** Names that no stranger on the internet can make point to this machine. Those below `.local` are asked of the link by
 *  multicast and belong to nobody's DNS (RFC 6762, 3; 6761), so a page from outside cannot be given one to rebind it: the
 *  gateway's `spotify-peer.local`, `spotify-peer-2.local` and `spotify-peer-<network>.local` are safe as Host, on every peer,
 *  because the name moves before those who use it know. All of `.local` is, and has to be: which name this machine has there is
 *  for others to decide (Avahi makes `nas-2.local` of a hostname that is taken, macOS has a name beside its hostname), and who
 *  sits on the link and may claim any of these names may claim the gateway's too. */
const isOurName = (name: string, ownNames: ReadonlySet<string>): boolean =>
  isIP(name.split('%', 1)[0] as string) !== 0 || name === 'localhost' || name.endsWith('.localhost') || name.endsWith('.local') || ownNames.has(name);

export const addressOf = (request: FastifyRequest): string => (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');

export interface AccessOptions {
  readonly token: string;
  readonly clock: Clock;
  /** Names by which others reach this machine, beyond its own hostname. */
  readonly names?: readonly string[];
}

export class Access {
  readonly #token: string;
  readonly #clock: Clock;
  readonly #ownNames: ReadonlySet<string>;
  readonly #cookieName: string;
  readonly #links: LRUCache<string, true>;
  readonly #changes = new LRUCache<string, { tokens: number; at: Millis }>({ max: HTTP_ADDRESSES_MAX });

  constructor({ token, clock, names = [] }: AccessOptions) {
    this.#token = token;
    this.#clock = clock;
    const own = hostname().toLowerCase();
    this.#ownNames = new Set([own, own.split('.', 1)[0] as string, ...names.map((name) => name.toLowerCase())]);
    // Cookies know no ports: several peers on one machine must not log each other out.
    this.#cookieName = `spotify-peer-${this.#sign('cookie').slice(0, 8)}`;
    this.#links = new LRUCache({ max: LOGIN_LINKS_MAX, ttl: LOGIN_LINK_LIFE_MS, perf: clock, ttlResolution: 0 });
  }

  /** Throws FORBIDDEN for a Host that a stranger may have made point here, and for a change that another site asks for. */
  checkOrigin(request: FastifyRequest): void {
    const { host, origin } = request.headers;
    const name = host === undefined ? undefined : hostnameOf(host);
    if (name === undefined || !isOurName(name, this.#ownNames)) {
      throw new PeerError('FORBIDDEN', 'this name is not known here; use the address, localhost or a name that ends in .local');
    }
    if (SAFE_METHODS.has(request.method)) return;
    if (origin === undefined) {
      // Browsers name the origin of every POST; what sends none is a program, and has no cookie to be abused.
      if (this.#bearer(request) === undefined && this.#cookie(request) !== undefined) throw new PeerError('FORBIDDEN', 'a change by cookie needs its origin');
      return;
    }
    if (!URL.canParse(origin) || new URL(origin).host !== new URL(`http://${host}`).host) {
      throw new PeerError('FORBIDDEN', 'another site may not change anything here');
    }
  }

  isOwner(request: FastifyRequest): boolean {
    const bearer = this.#bearer(request);
    if (bearer !== undefined) return same(bearer, this.#token);
    const cookie = this.#cookie(request);
    if (cookie === undefined) return false;
    const [expires, signature] = cookie.split('.') as [string, string | undefined];
    return signature !== undefined && same(signature, this.#sign(`session ${expires}`)) && Number(expires) > this.#clock.wall();
  }

  /** Throws FORBIDDEN. */
  check(request: FastifyRequest, { audience, open }: { readonly audience: Audience; readonly open: boolean }): void {
    if (audience === 'anybody' || (audience === 'listener' && open) || this.isOwner(request)) return;
    throw new PeerError(
      'FORBIDDEN',
      audience === 'owner' ? "this takes the machine's own token: run `spotify-peer login` on it" : 'this network is closed: run `spotify-peer login` on this machine',
    );
  }

  /** A bucket of changes per address: throws BUSY when it is empty. */
  countChange(request: FastifyRequest): void {
    const address = addressOf(request);
    const now = this.#clock.now();
    const last = this.#changes.get(address) ?? { tokens: HTTP_CHANGES_BURST, at: now };
    const tokens = Math.min(HTTP_CHANGES_BURST, last.tokens + ((now - last.at) * HTTP_CHANGES_PER_SECOND) / 1000);
    if (tokens < 1) throw new PeerError('BUSY', 'too many changes from your address; wait a few seconds');
    this.#changes.set(address, { tokens: tokens - 1, at: now });
  }

  /** The path of a link that logs one browser in, once. */
  createLoginLink(): { readonly url: string; readonly expiresMs: Millis } {
    const key = hex(randomBytes(24));
    this.#links.set(key, true);
    return { url: `/login?token=${key}`, expiresMs: LOGIN_LINK_LIFE_MS };
  }

  /** Uses a login link up. @returns the cookie that it earns. Throws FORBIDDEN. */
  login(key: string): string {
    if (!this.#links.has(key)) throw new PeerError('FORBIDDEN', 'this login link was used or is too old: run `spotify-peer login` for a fresh one');
    this.#links.delete(key);
    const expires = String(Math.floor(this.#clock.wall() + HTTP_SESSION_LIFE_MS));
    return `${this.#cookieName}=${expires}.${this.#sign(`session ${expires}`)}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${HTTP_SESSION_LIFE_MS / 1000}`;
  }

  /** Keyed by the token, so that sessions outlive a restart, and a cookie does not give the token away. */
  #sign(text: string): string {
    return createHmac('sha256', this.#token).update(`spotify-peer http ${text}`).digest('hex');
  }

  #bearer(request: FastifyRequest): string | undefined {
    return BEARER.exec(request.headers.authorization ?? '')?.[1];
  }

  #cookie(request: FastifyRequest): string | undefined {
    const prefix = `${this.#cookieName}=`;
    return request.headers.cookie?.split(/; */).find((pair) => pair.startsWith(prefix))?.slice(prefix.length);
  }
}
