/**
 * Property tests run on the same random values every time, so that a run that fails can be repeated;
 * `SOLOVS_SEED=N` chooses others.
 */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env.SOLOVS_SEED ?? 1) });
