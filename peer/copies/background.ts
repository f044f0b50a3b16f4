// Music that nobody waits for. Who is asked for it would take the asker for a listener, and stop its own copying for as long as
// it is asked: two machines that copy from each other would both stand still. So the last element of the params says it.
import type { Providers } from '../chunks/provider-link.ts';

const BACKGROUND = 'background';

/** The same providers, asked in the background. */
export const inBackground = (providers: Providers): Providers => {
  const marked = (links: ReturnType<Providers['ofPayload']>): ReturnType<Providers['ofPayload']> =>
    links.map((link) => ({ ...link, requestBytes: (method, params, options) => link.requestBytes(method, [...(params as readonly unknown[]), BACKGROUND], options) }));
  return {
    ...providers,
    ofPayload: (payload) => marked(providers.ofPayload(payload)),
    ofFile: (file) => marked(providers.ofFile(file)),
    watch: (changed) => providers.watch(changed),
  };
};

export const isInBackground = (params: unknown): boolean => Array.isArray(params) && params.at(-1) === BACKGROUND;
