type Found =
  { readonly icd: string; readonly reason?: undefined } | { readonly icd?: undefined; readonly reason: string };
export function findSwiftShader(): Found;
export function installSwiftShader(): Found;
export function swiftShaderEnvironment(icd: string): NodeJS.ProcessEnv;
