// The files of the web page, and what stands in their place on a closed network until somebody logs in.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's web/ folder: two folders up from the sources, three from what is built. */
export function webFolder(from: string = fileURLToPath(import.meta.url)): string {
  for (let folder = dirname(from); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'web', 'index.html'))) return join(folder, 'web');
  }
  throw new Error('the web/ folder is missing from this installation');
}

const STYLE =
  'html{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}' +
  'h1{font-size:1.6rem;line-height:1.2}code{padding:.15em .4em;border-radius:.3em;background:light-dark(#eee,#333)}';

/** Complete in itself, because nothing else is served before the login. */
export const CLOSED_PAGE = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>spotify-peer: log in</title>
<style>${STYLE}</style>
<h1>This network is closed</h1>
<p>Run <code>spotify-peer login</code> on this machine, and open the link that it prints.</p>
</html>
`;

const CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

export const CLOSED_PAGE_CSP = `${CSP}; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': CSP,
  // An open network answers anybody who asks; another site's page may not even embed what it is answered.
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};
