/** JSON-RPC 1.0 messages as OVSDB uses them (RFC 7047 §4). */
import { isArray, isObject, type Json, type JsonObject, member } from "../json.ts";

export type Message =
  | {
    readonly kind: "request";
    readonly method: string;
    readonly params: readonly Json[];
    readonly id: Json;
  }
  | { readonly kind: "notification"; readonly method: string; readonly params: readonly Json[] }
  | { readonly kind: "reply"; readonly result: Json; readonly id: Json }
  | { readonly kind: "error"; readonly error: Json; readonly id: Json };

/** Well-formed JSON that is no JSON-RPC message. */
export class MessageError extends Error {
  override readonly name = "MessageError";
}

const knownMembers = ["method", "params", "result", "error", "id"];

/** A null member counts as absent; what is then present decides what the message is. */
export function parseMessage(json: Json): Message {
  if (!isObject(json)) throw new MessageError("message is not a JSON object");
  const present = (name: string): Json | undefined => member(json, name) ?? undefined;
  const method = member(json, "method");
  if (method !== undefined && typeof method !== "string") {
    throw new MessageError("method is not a JSON string");
  }
  const unexpected = Object.keys(json).find((name) => !knownMembers.includes(name));
  if (unexpected !== undefined) {
    throw new MessageError(`message has unexpected member "${unexpected}"`);
  }
  const params = present("params");
  if (params !== undefined && !isArray(params)) {
    throw new MessageError('"params" must be JSON array');
  }
  const [result, error, id] = [present("result"), present("error"), present("id")];
  const kind = result !== undefined
    ? "reply"
    : error !== undefined
    ? "error"
    : id !== undefined
    ? "request"
    : "notification";
  const has = { method, params, result, error, id };
  const must = (...names: (keyof typeof has)[]): void => {
    for (const name of Object.keys(has) as (keyof typeof has)[]) {
      const wanted = names.includes(name);
      if ((has[name] !== undefined) !== wanted) {
        throw new MessageError(`${kind} must${wanted ? "" : " not"} have "${name}"`);
      }
    }
  };
  switch (kind) {
    case "request":
      must("method", "params", "id");
      return { kind, method: method as string, params: params ?? [], id: id as Json };
    case "notification":
      must("method", "params");
      return { kind, method: method as string, params: params ?? [] };
    case "reply":
      must("result", "id");
      return { kind, result: result as Json, id: id as Json };
    case "error":
      must("error", "id");
      return { kind, error: error as Json, id: id as Json };
    default: {
      const never: never = kind;
      return never;
    }
  }
}

export function messageToJson(message: Message): JsonObject {
  switch (message.kind) {
    case "request":
      return { method: message.method, params: message.params, id: message.id };
    case "notification":
      return { method: message.method, params: message.params, id: null };
    case "reply":
      return { result: message.result, error: null, id: message.id };
    case "error":
      return { result: null, error: message.error, id: message.id };
    default: {
      const never: never = message;
      return never;
    }
  }
}
