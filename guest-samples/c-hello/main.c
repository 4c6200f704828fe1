/* A core module of WASI preview 1, as C compilers make them: the runtime turns it into a component. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: c-hello [WORD...]        print the arguments\n"
    "       c-hello env NAME...      print variables, one NAME=value a line\n"
    "       c-hello cat PATH...      print files\n"
    "       c-hello write PATH TEXT  write TEXT and a newline to a file\n"
    "       c-hello wait             run until standard input ends: a container that has one is asked to stop so\n"
    "       c-hello exit CODE        end with this exit code (0 to 255)\n";

static int print_env(char **names) {
    for (; *names; names++) {
        const char *value = getenv(*names);
        if (!value) {
            fprintf(stderr, "c-hello: %s is not set\n", *names);
            return EXIT_FAILURE;
        }
        printf("%s=%s\n", *names, value);
    }
    return EXIT_SUCCESS;
}

static int fail(const char *action, const char *path) {
    fprintf(stderr, "c-hello: cannot %s %s: %s\n", action, path, strerror(errno));
    return EXIT_FAILURE;
}

static int cat(char **paths) {
    for (; *paths; paths++) {
        FILE *file = fopen(*paths, "r");
        if (!file)
            return fail("open", *paths);
        char buffer[4096];
        size_t count;
        while ((count = fread(buffer, 1, sizeof buffer, file)) > 0)
            fwrite(buffer, 1, count, stdout);
        int failed = ferror(file);
        fclose(file);
        if (failed)
            return fail("read", *paths);
    }
    return EXIT_SUCCESS;
}

static int write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file)
        return fail("open", path);
    int failed = fprintf(file, "%s\n", text) < 0;
    if (fclose(file) != 0 || failed)
        return fail("write", path);
    return EXIT_SUCCESS;
}

/* Preview 1 has no pollables of nacelle:pod, but a container's standard input ends when it is asked to stop. */
static int wait_for_the_end(void) {
    puts("waiting");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    puts("asked to stop");
    return EXIT_SUCCESS;
}

static int exit_code(const char *text) {
    char *end;
    long code = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || code < 0 || code > 255) {
        fputs(usage, stderr);
        return 2;
    }
    return (int)code;
}

int main(int argc, char **argv) {
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "env") == 0)
        return print_env(argv + 2);
    if (strcmp(command, "cat") == 0)
        return cat(argv + 2);
    if (strcmp(command, "write") == 0 && argc == 4)
        return write_text(argv[2], argv[3]);
    if (strcmp(command, "wait") == 0 && argc == 2)
        return wait_for_the_end();
    if (strcmp(command, "exit") == 0 && argc == 3)
        return exit_code(argv[2]);
    printf("Hello from C");
    for (int i = 1; i < argc; i++)
        printf(" %s", argv[i]);
    printf("!\n");
    return EXIT_SUCCESS;
}
