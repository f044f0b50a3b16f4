// The house rule: imports run bin -> peer -> {discovery, storage} -> lib, one way. Checked at every test run.
const below = {
  bin: ['bin', 'peer', 'discovery', 'storage', 'lib'],
  peer: ['peer', 'discovery', 'storage', 'lib'],
  discovery: ['discovery', 'lib'],
  storage: ['storage', 'lib'],
  lib: ['lib'],
};

// What decides must not know the time, draw chance or do IO: the same code runs in simulations.
const pure =
  '^(discovery/(membership|members|beats|awareness|relays|address-book|address|lan-name)|peer/(boot-verifier|music/play-meter|coordination/(assignment|claims|coordination|election|grants|leases)|copies/(copier|judge|placement|rounds)|chunks/(hedging|liars|patience|planner|reading-pace|uploads|provider-link|provider-pace|provider-table|turns|wanted)|services/supervisor|slices/receiver|replication/(acknowledgement|gossip|keeper|ledger|networks|packing|pull|replication|settled|transaction|user-writes)))\\.ts$';

module.exports = {
  forbidden: [
    ...Object.entries(below).map(([layer, allowed]) => ({
      name: `${layer}-imports-only-${allowed.at(-2) ?? 'lib'}-and-below`,
      severity: 'error',
      from: { path: `^${layer}/` },
      to: { path: '^(bin|peer|discovery|storage|lib|web|test|bench)/', pathNot: `^(${allowed.join('|')})/` },
    })),
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    { name: 'no-development-dependencies', severity: 'error', from: { path: '^(bin|peer|discovery|storage|lib)/' }, to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'unknown'], dependencyTypesNot: ['type-only'] } },
    { name: 'protocols-are-pure', severity: 'error', from: { path: pure }, to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|net|assert|assert/strict)$' } },
    // of drivers and stores they know the types
    { name: 'protocols-call-no-drivers', severity: 'error', from: { path: pure }, to: { path: '^(bin|peer|discovery|storage)/', pathNot: pure, dependencyTypesNot: ['type-only'] } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js'], exportsFields: ['exports'], conditionNames: ['import', 'node'] },
  },
};
