// A peer idles in the background of somebody's laptop, so memory counts more than the last tenth of speed. V8 sizes its
// young generation for servers; kept at 1 MB, and with code optimised for size, 300 songs take 81 MB instead of 92 at rest,
// and 86 instead of 138 after a hundred searches. Imported before everything else.
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--optimize-for-size');
setFlagsFromString('--max-semi-space-size=1');
setFlagsFromString('--semi-space-growth-factor=1');
