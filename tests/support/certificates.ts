/** Keys and certificates for tests of TLS, made by openssl(1) when they are needed, kept nowhere. */
import { must } from "./exec.ts";

/** Files in PEM form. */
export interface Identity {
  readonly privateKey: string;
  readonly certificate: string;
}

export interface Authority extends Identity {
  readonly name: string;
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"] as const;

const files = (dir: string, name: string): Identity => ({
  privateKey: `${dir}/${name}-privkey.pem`,
  certificate: `${dir}/${name}-cert.pem`,
});

export async function makeAuthority(dir: string, name: string): Promise<Authority> {
  const made = files(dir, name);
  const out = ["-keyout", made.privateKey, "-out", made.certificate];
  const extensions = ["-addext", "basicConstraints=critical,CA:TRUE"];
  const config = ["-subj", `/O=solovs test/CN=${name}`, "-days", "2"];
  await must(["openssl", "req", "-x509", ...EC, ...out, ...config, ...extensions]);
  return { name, ...made };
}

/** `expired`: its time is over already. */
export async function makeIdentity(
  dir: string,
  name: string,
  authority: Authority,
  { expired = false } = {},
): Promise<Identity> {
  const made = files(dir, name);
  const request = `${dir}/${name}-req.pem`;
  const subject = ["-subj", `/O=solovs test/CN=${name}`];
  await must([
    "openssl",
    "req",
    "-new",
    ...EC,
    "-keyout",
    made.privateKey,
    "-out",
    request,
    ...subject,
  ]);
  const signer = ["-CA", authority.certificate, "-CAkey", authority.privateKey, "-CAcreateserial"];
  const out = ["-in", request, "-out", made.certificate];
  await must(["openssl", "x509", "-req", ...out, ...signer, "-days", expired ? "-1" : "2"]);
  return made;
}
