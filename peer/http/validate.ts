// Checks input by the JSON Schema keywords that our own schemas use, and refuses others when a route is registered.
// Fastify's default for this, ajv, compiles code at start: 50 ms and 8 MB for a dozen tiny objects, of a start that
// shall take less than half a second.
import assert from 'node:assert/strict';
import { PeerError } from '../../lib/errors.ts';

interface PropertySchema {
  readonly type: 'string' | 'integer' | 'boolean' | 'array' | readonly ['integer', 'null'];
  /** Of an array. */
  readonly items?: PropertySchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly description?: string;
}

export interface InputSchema {
  readonly type: 'object';
  readonly additionalProperties: false;
  readonly required?: readonly string[];
  readonly properties: Readonly<Record<string, PropertySchema>>;
}

type Check = (value: unknown) => unknown;

const INTEGER = /^-?\d{1,15}$/;
const BOOLEANS = new Map<unknown, boolean>([[true, true], [false, false], ['true', true], ['1', true], ['false', false], ['0', false]]);

/** @param texts whether texts become numbers and booleans: a query has nothing else, and JSON has both */
function compileProperty(name: string, schema: PropertySchema, texts: boolean): Check {
  if (schema.type === 'array') return compileArray(name, schema, texts);
  const { type, pattern, minLength = 0, maxLength = Number.POSITIVE_INFINITY, minimum = -Infinity, maximum = Infinity, description: _, ...unknown } = schema;
  assert.deepEqual(Object.keys(unknown), [], `keywords of ${name} that are not checked`);
  const fail = (what: string): never => {
    throw new PeerError('BAD_USAGE', `${name} has to be ${what}`);
  };
  if (typeof type === 'object') {
    const check = compileProperty(name, { ...schema, type: type[0] }, texts);
    return (value) => (value === null ? null : check(value));
  }
  if (type === 'boolean') return (value) => BOOLEANS.get(texts || typeof value === 'boolean' ? value : undefined) ?? fail('true or false');
  if (type === 'integer') {
    return (value) => {
      const number = texts && typeof value === 'string' && INTEGER.test(value) ? Number(value) : value;
      if (!Number.isSafeInteger(number)) return fail('a whole number');
      return (number as number) >= minimum && (number as number) <= maximum ? number : fail(`between ${minimum} and ${maximum}`);
    };
  }
  assert.equal(type, 'string');
  const expression = pattern === undefined ? undefined : new RegExp(pattern, 'u');
  return (value) => {
    if (typeof value !== 'string') return fail('one text');
    if (value.length < minLength || value.length > maxLength) return fail(`between ${minLength} and ${maxLength} characters long`);
    return expression === undefined || expression.test(value) ? value : fail(`of the form ${pattern}`);
  };
}

function compileArray(name: string, schema: PropertySchema, texts: boolean): Check {
  const { type: _type, items, minItems = 0, maxItems, description: _, ...unknown } = schema;
  assert.deepEqual(Object.keys(unknown), [], `keywords of ${name} that are not checked`);
  assert(items !== undefined && maxItems !== undefined, `${name} says what it holds, and how much`);
  const check = compileProperty(`each of ${name}`, items, texts);
  return (value) => {
    if (!Array.isArray(value)) throw new PeerError('BAD_USAGE', `${name} has to be a list`);
    if (value.length < minItems || value.length > maxItems) throw new PeerError('BAD_USAGE', `${name} has to hold ${minItems} to ${maxItems}`);
    return value.map(check);
  };
}

/** @param options.texts of a query, whose numbers and booleans come as texts
 *  @returns a check that hands back the input with its types, and throws BAD_USAGE otherwise */
export function compileInput(schema: InputSchema, { texts }: { readonly texts: boolean }): (input: unknown) => Record<string, unknown> {
  const { type, additionalProperties, required = [], properties, ...unknown } = schema;
  assert.deepEqual([type, additionalProperties, Object.keys(unknown)], ['object', false, []], 'an input schema that is not checked');
  const checks = new Map(Object.entries(properties).map(([name, property]) => [name, compileProperty(name, property, texts)]));
  return (input) => {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) throw new PeerError('BAD_USAGE', 'a JSON object is needed');
    const given = Object.entries(input);
    for (const name of required) {
      if (!Object.hasOwn(input, name)) throw new PeerError('BAD_USAGE', `${name} is missing`);
    }
    return Object.fromEntries(
      given.map(([name, value]) => {
        const check = checks.get(name);
        if (check === undefined) throw new PeerError('BAD_USAGE', `there is no parameter ${name.slice(0, 32)}`);
        return [name, check(value)];
      }),
    );
  };
}
