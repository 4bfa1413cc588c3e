/** Requests to the API: JSON both ways, with the session's CSRF token; problems become `Refused`. */
import type { z } from "zod";
import type { sessionSchema } from "../../../routes/session.ts";
import { Store } from "./store.ts";

export type Session = z.infer<typeof sessionSchema>;
export type Role = Session["role"];

export interface FieldError {
  readonly where: string;
  readonly message: string;
}

/** The server refused: `message` says why and what to do. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(
    readonly status: number,
    message: string,
    readonly errors: readonly FieldError[] = [],
  ) {
    super(message);
  }
}

export interface AskOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Answer<T> {
  readonly json: T;
  readonly etag: string | null;
}

export class Api {
  /** Undefined until it is known, null: nobody is logged in. */
  readonly session = new Store<Session | null | undefined>(undefined);

  async askWhole<T>(method: string, path: string, options: AskOptions = {}): Promise<Answer<T>> {
    const { body, headers = {}, signal } = options;
    const csrf = this.session.value?.csrfToken;
    const binary = body instanceof Blob;
    let response: Response;
    try {
      response = await fetch(`/api/v1${path}`, {
        method,
        headers: {
          accept: "application/json",
          ...(csrf ? { "x-csrf-token": csrf } : {}),
          ...headers,
        },
        ...(body !== undefined && {
          body: binary || typeof body === "string" ? body : JSON.stringify(body),
        }),
        ...(signal && { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refused(0, "The switch does not answer.");
    }
    const text = await response.text();
    if (!response.ok) throw this.refused(response.status, text);
    return {
      json: (text === "" ? undefined : JSON.parse(text)) as T,
      etag: response.headers.get("etag"),
    };
  }

  async ask<T>(method: string, path: string, options: AskOptions = {}): Promise<T> {
    return (await this.askWhole<T>(method, path, options)).json;
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.ask<T>("GET", path, signal ? { signal } : {});
  }

  /** Who is logged in; asked once at the start. */
  async whoAmI(): Promise<void> {
    try {
      this.session.set(await this.get<Session>("/session"));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) this.session.set(null);
      else setTimeout(() => void this.whoAmI(), 2000);
    }
  }

  private refused(status: number, text: string): Refused {
    if (status === 401 && this.session.value) this.session.set(null);
    try {
      const { detail, errors } = JSON.parse(text) as { detail: string; errors?: unknown };
      const list = Array.isArray(errors)
        ? errors.filter((one): one is FieldError => typeof one?.message === "string")
        : [];
      return new Refused(status, detail, list);
    } catch {
      return new Refused(status, `The switch answered ${status}.`);
    }
  }
}

/** A part of a path. */
export const part = (text: string): string => encodeURIComponent(text);
