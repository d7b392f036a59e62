// For those who check types: what the package says of itself.
export { Terminal } from "@xterm/xterm";
