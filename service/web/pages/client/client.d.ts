import type { components, paths } from "./openapi.js";

type Schemas = components["schemas"];

export type User = Schemas["UserBody"];
export type Session = Schemas["SessionBody"];
export type Challenge = Schemas["ChallengeBody"];
export type TokenPair = Schemas["TokenPairBody"];
export type SignedIn = Schemas["SignedInBody"];
export type Credentials = Schemas["CredentialsBody"];
export type SecondStep = Schemas["ChallengeAnswerBody"];
/** What a method of a path takes, and what it answers when it succeeds. */
export type Method = "GET" | "POST" | "DELETE";
export type Path<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<Lowercase<M>, { responses: unknown }> ? P : never;
}[keyof paths];
type Operation<M extends Method, P extends Path<M>> = paths[P][Lowercase<M> & keyof paths[P]];
export type Takes<M extends Method, P extends Path<M>> =
  Operation<M, P> extends { requestBody?: { content: { "application/json": infer B } } } ? B : undefined;
type Answers<R> = {
  [S in keyof R]: S extends 200 | 201 | 202 | 204
    ? { status: S; body: R[S] extends { content: { "application/json": infer B } } ? B : null }
    : never;
}[keyof R];
export type Answer<M extends Method, P extends Path<M>> =
  Operation<M, P> extends { responses: infer R } ? Answers<R> : never;

export interface AuthOptions {
  /** Where the service is, with the path that it is under, if any. */
  url: string | URL;
  /** Where the refresh token is kept: here, or in a cookie that no script can read. */
  mode?: "tokens" | "cookie";
  /** Of tokens: `sessionStorage` in browsers and memory elsewhere, unless it is given. */
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  key?: string;
  /** Whom the access tokens are for (RFC 8707); the service's default audience unless it is given. */
  resource?: string;
  /** Origins besides the service's and the page's to which `fetch` sends the access token. */
  resources?: string[];
  fetch?: typeof globalThis.fetch;
  /** Lets the person prove anew who they are (`reauthenticate`); throws where they do not want to. */
  onProofNeeded?: () => Promise<void>;
}

export declare class AuthError extends Error {
  constructor(
    status: number,
    error: { code: string; message?: string; details?: { field: string }[] },
    retryAfter?: string | null,
  );
  /** 0 when no answer came. */
  status: number;
  /** Of the API's errors, or `unreachable`, `strange`. */
  code: string;
  field?: string;
  /** Seconds. */
  retryAfter?: number;
  /** The session is over, and whoever listens knows. */
  isTold?: boolean;
}

/** Events: `expired` when the session turns out to be over, `signedout` when another tab ended it. */
export declare class AuthClient extends EventTarget {
  constructor(options: AuthOptions);
  readonly isSignedIn: boolean;
  /** Finds the session that this browser has. */
  resume(): Promise<boolean>;
  signUp(credentials: Credentials): Promise<SignedIn>;
  logIn(credentials: Credentials): Promise<SignedIn | Challenge>;
  secondStep(answer: SecondStep): Promise<SignedIn>;
  logOut(): Promise<void>;
  reauthenticate(proof: { password: string } | { code: string }): Promise<void>;
  /** The new access token; one renewal for all who ask at the same time. */
  refresh(): Promise<string>;
  call<M extends Method, P extends Path<M>>(method: M, path: P, body?: Takes<M, P>): Promise<Answer<M, P>>;
  callSignedIn<M extends Method, P extends Path<M>>(
    method: M,
    path: P,
    body?: Takes<M, P>,
  ): Promise<Answer<M, P>>;
  /** As `fetch`, with the access token. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  authorized<R extends { status: number }>(request: (token: string) => Promise<R>): Promise<R>;
  /** Keeps a token pair. */
  keep(tokens: TokenPair): void;
  /** Keeps the tokens that this session goes on with, in other tabs too. */
  replace(tokens: TokenPair): void;
  forget(): void;
  /** The session is over: forgets it, in other tabs too. */
  forgetEverywhere(): void;
  address(path: string): URL;
  close(): void;
}
