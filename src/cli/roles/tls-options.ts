/** The options of TLS that all daemons take (ovs-vswitchd(8), "Public Key Infrastructure Options"). */
import type { TlsSettings } from "../../db/tls/settings.ts";
import type { OptionDeclaration } from "../clients/getopt.ts";

export type TlsKey =
  | "privateKey"
  | "certificate"
  | "caCertificate"
  | "bootstrapCaCertificate"
  | "peerCaCertificate"
  | "protocols"
  | "ciphers";

export const TLS_OPTIONS: readonly OptionDeclaration<TlsKey>[] = [
  { name: "private-key", letter: "p", value: "required", key: "privateKey" },
  { name: "certificate", letter: "c", value: "required", key: "certificate" },
  { name: "ca-cert", letter: "C", value: "required", key: "caCertificate" },
  { name: "ssl-protocols", value: "required", key: "protocols" },
  { name: "ssl-ciphers", value: "required", key: "ciphers" },
];
/** Apart, since the daemons list them in other places, as the text about an ambiguous option shows. */
export const PEER_CA_OPTION: OptionDeclaration<TlsKey> = {
  name: "peer-ca-cert",
  value: "required",
  key: "peerCaCertificate",
};
export const BOOTSTRAP_CA_OPTION: OptionDeclaration<TlsKey> = {
  name: "bootstrap-ca-cert",
  value: "required",
  key: "bootstrapCaCertificate",
};

export type TlsOptions = { -readonly [K in keyof TlsSettings]: TlsSettings[K] };

export function takeTlsOption(tls: TlsOptions, key: TlsKey, value: string): void {
  switch (key) {
    case "privateKey":
      tls.privateKey = value;
      return;
    case "certificate":
      tls.certificate = value;
      return;
    case "caCertificate":
    case "bootstrapCaCertificate":
      // The last of the two counts.
      tls.caCert = key === "caCertificate" ? value : undefined;
      tls.bootstrapCaCert = key === "bootstrapCaCertificate" ? value : undefined;
      return;
    case "peerCaCertificate":
      tls.peerCaCert = value;
      return;
    case "protocols":
      tls.protocols = value;
      return;
    case "ciphers":
      tls.ciphers = value;
      return;
    default: {
      const never: never = key;
      return never;
    }
  }
}
