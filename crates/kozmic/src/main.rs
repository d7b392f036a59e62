fn main() -> std::process::ExitCode {
    kozmic::cli::run()
}
