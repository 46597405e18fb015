/* libgcc's unwinder asks glibc (2.35 or later) which loaded object an address is in and where its unwind
   tables are. musl has no such function, and a static program is one object: itself. Without an
   answer no panic could be caught. The structure is glibc's <dlfcn.h> on amd64 and arm64. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stddef.h>

/* libgcc refers to these weakly, which does not bring them out of a static libc, and then calls null. */
typedef void (*function)(void);
__attribute__((used)) static const function threads[] = {
    (function)pthread_once,        (function)pthread_key_create, (function)pthread_getspecific,
    (function)pthread_setspecific, (function)pthread_mutex_lock, (function)pthread_mutex_unlock,
};

struct found {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame; /* the segment PT_GNU_EH_FRAME, .eh_frame_hdr */
    unsigned long long reserved[7];
};

struct search {
    ElfW(Addr) address;
    struct found *found;
};

static int look(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    struct found *found = search->found;
    int inside = 0;

    (void)size;
    found->eh_frame = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        ElfW(Addr) start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_GNU_EH_FRAME)
            found->eh_frame = (void *)start;
        if (segment->p_type == PT_LOAD && search->address - start < segment->p_memsz) {
            found->map_start = (void *)start;
            found->map_end = (void *)(start + segment->p_memsz);
            inside = 1;
        }
    }
    return inside && found->eh_frame != NULL;
}

int _dl_find_object(void *address, struct found *found)
{
    struct search search = { (ElfW(Addr))address, found };

    found->flags = 0;
    found->link_map = NULL;
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}
