/** Shapes that several routes share. */
import { z } from "zod";
import { PASSWORD_LENGTH } from "../auth/secrets.ts";

/** A user's name. */
export const userName = z.string().regex(
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/,
  "1 to 32 letters, digits, '.', '_' or '-'; the first one a letter or digit",
);

export const newPassword = z.string().min(PASSWORD_LENGTH.min).max(PASSWORD_LENGTH.max);
/** One that is only compared. */
export const oldPassword = z.string().min(1).max(PASSWORD_LENGTH.max);

export const instant = z.iso.datetime();
export const toInstant = (ms: number): string => new Date(ms).toISOString();
