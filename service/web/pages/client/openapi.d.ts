// Made by scripts/client-types from the OpenAPI document; do not edit.

export interface paths {
    "/.well-known/jwks.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Public keys
         * @description Return the JWK set (RFC 7517) that verifies access tokens.
         */
        get: operations["WellKnownJwksJsonJwks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/oauth-authorization-server": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Metadata
         * @description Return what other software can find here (RFC 8414).
         */
        get: operations["WellKnownOauthAuthorizationServerMetadata"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/2fa/disable": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Disable 2FA
         * @description Turn 2FA off with a TOTP or a recovery code. Logins that wait for a code end.
         */
        post: operations["Auth2FaDisableDisable"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/2fa/enable": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begin to enable 2FA
         * @description Mint a secret for the authenticator app. It replaces one that is still to be verified.
         */
        post: operations["Auth2FaEnableEnable"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/2fa/recovery-codes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Renew recovery codes
         * @description Replace all recovery codes, with a TOTP code.
         */
        post: operations["Auth2FaRecoveryCodesRenewRecoveryCodes"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/2fa/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Enable 2FA
         * @description Turn 2FA on with a code of the app. Ends no session unless asked to. The code is spent.
         */
        post: operations["Auth2FaVerifyVerify"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/account/delete": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Delete the account
         * @description Delete the caller's account, after a recent proof of who they are.
         */
        post: operations["AuthAccountDeleteDeleteAccount"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/account/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Export the account
         * @description Return all that is kept of the caller's account, once an hour.
         */
        get: operations["AuthAccountExportExportAccount"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/email/change/confirm": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Confirm another address by a link
         * @description Give the account the address to which the link was mailed. The old one can undo it.
         */
        post: operations["AuthEmailChangeConfirmConfirmChange"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/email/change/undo": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Undo a change of the address by a link
         * @description Give the account its address of before, for 72 hours after a change.
         */
        post: operations["AuthEmailChangeUndoUndoChange"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/email/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Verify an address by a link
         * @description Verify the address to which the link was mailed, once, from whatever device.
         */
        post: operations["AuthEmailVerifyVerifyEmail"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log in
         * @description Open a session, or with 2FA a challenge.
         *
         *     An unknown e-mail address and a wrong password get the same answer.
         */
        post: operations["AuthLoginLogin"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/login/2fa": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log in: second step
         * @description Answer a challenge with a TOTP or a recovery code. After five wrong ones it is gone.
         */
        post: operations["AuthLogin2FaLoginSecondStep"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/logout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log out
         * @description End the session of a refresh token of the caller's, spent or not.
         */
        post: operations["AuthLogoutLogout"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/logout/all": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log out everywhere
         * @description End all sessions of the caller, or all others with `keepCurrent`.
         */
        post: operations["AuthLogoutAllLogoutAll"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Who am I
         * @description Return the caller's account and session.
         */
        get: operations["AuthMeMe"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/oauth": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List providers
         * @description List the OpenID providers that people may log in at.
         */
        get: operations["AuthOauthListProviders"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/oauth/{provider}/backchannel-logout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log out as a provider says
         * @description Take a `logout_token` (OpenID Connect Back-Channel Logout 1.0).
         */
        post: operations["AuthOauthProviderBackchannelLogoutBackchannelLogout"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/oauth/{provider}/callback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Return from a provider
         * @description Receive a person whom a provider has sent back. The query may have 8,192 bytes.
         */
        get: operations["AuthOauthProviderCallbackCallback"];
        put?: never;
        /**
         * Return from a provider by form_post
         * @description Receive a person whom a provider has sent back with a form.
         */
        post: operations["AuthOauthProviderCallbackCallbackForm"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/oauth/{provider}/link": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begin to link an identity
         * @description Begin to link an identity of a provider to the caller's account.
         */
        post: operations["AuthOauthProviderLinkLink"];
        /**
         * Unlink an identity
         * @description Take the identity of a provider away from the caller's account.
         */
        delete: operations["AuthOauthProviderLinkUnlink"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/oauth/{provider}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begin a login at a provider
         * @description Begin a login. Keep the verifier: `complete` asks for it.
         */
        post: operations["AuthOauthProviderStartStart"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/oauth/complete": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Complete a login at a provider
         * @description Exchange a grant, once, for a session, or with 2FA on for a challenge.
         */
        post: operations["AuthOauthCompleteComplete"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/oauth/links": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List linked identities
         * @description List the providers that the caller's account has an identity of.
         */
        get: operations["AuthOauthLinksListLinks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/password/change": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Change the password
         * @description Replace the password. All sessions end, the caller's included, and a new one is opened.
         */
        post: operations["AuthPasswordChangeChangePassword"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/password/reset": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Set a password by a link
         * @description Set the password, once. A second factor stays on; nobody is logged in by this.
         */
        post: operations["AuthPasswordResetResetPassword"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/reauthenticate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Prove anew who you are
         * @description Renew `auth_time` and `amr` of the session, by the password or, with 2FA on, by a code.
         */
        post: operations["AuthReauthenticateReauthenticate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/refresh": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Refresh
         * @description Spend a refresh token for its successor. Racing callers within the grace get the same one.
         */
        post: operations["AuthRefreshRefresh"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List sessions
         * @description List the caller's living sessions, newest first.
         */
        get: operations["AuthSessionsListSessions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * End one session
         * @description End one of the caller's sessions by its public id.
         */
        delete: operations["AuthSessionsIdEndSession"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/auth/signup": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sign up
         * @description Create an account and open its first session.
         *
         *     With `SERVICE_EMAIL_VERIFICATION=required` the answer is 202, whosever the address is.
         */
        post: operations["AuthSignupSignup"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Liveness
         * @description Answer 200 while the process serves.
         */
        get: operations["HealthLiveLive"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Readiness
         * @description Report each part in a line: `redis` with the durability in force, `users`, `keyring`.
         *
         *     Where operators have a port of their own, reasons and versions are told there alone.
         *
         *     A process that has been asked to stop is not ready, and says so in a line of its own. The
         *     status leaves out parts that the query names: `?ignore=users` is for load balancers, since
         *     without the user store sessions go on.
         */
        get: operations["HealthReadyReady"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Metrics
         * @description Return counts and times of requests, what they came to, queues, keys and clocks.
         */
        get: operations["MetricsMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/introspect": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Introspect a token
         * @description Say what an access or refresh token stands for (RFC 7662). Takes an API key.
         */
        post: operations["OauthIntrospectIntrospect"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/introspect/batch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Introspect tokens
         * @description Say what up to 100 tokens stand for. Takes an API key.
         */
        post: operations["OauthIntrospectBatchIntrospectBatch"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/oauth/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Revoke a token
         * @description End the session of a refresh or access token (RFC 7009). Of unknown ones nothing is told.
         */
        post: operations["OauthRevokeRevoke"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/schema": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This API, for people
         * @description Show this document as a page, on which each call can be tried out.
         */
        get: operations["SchemaSchemaPage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/schema/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This API, for programs
         * @description Return this document (OpenAPI 3.1).
         */
        get: operations["SchemaOpenapiJsonSchemaDocument"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** AccountBody */
        AccountBody: {
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            createdAt: string;
            email: string;
            emailVerified: boolean;
            id: string;
            passwordChangedAt: string | null;
        };
        /** BatchAnswerBody */
        BatchAnswerBody: {
            tokens: components["schemas"]["IntrospectionBody"][];
        };
        /** ChallengeAnswerBody */
        ChallengeAnswerBody: {
            /** @description What the first step of the login has answered */
            challengeId: string;
            /**
             * @description Six digits of an authenticator app or, where one is taken, a recovery code
             * @example 123456
             */
            code: string;
            resource?: string | null;
        };
        /** ChallengeBody */
        ChallengeBody: {
            /** @description What the first step of the login has answered */
            challengeId: string;
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            expiresAt: string;
            /**
             * @default [
             *       "totp",
             *       "recovery_code"
             *     ]
             */
            methods: ("totp" | "recovery_code")[];
        };
        /** CodeBody */
        CodeBody: {
            /**
             * @description Six digits of an authenticator app or, where one is taken, a recovery code
             * @example 123456
             */
            code: string;
            /**
             * @description End all other sessions in the same change
             * @default false
             */
            endOtherSessions: boolean;
        };
        /** CompleteBody */
        CompleteBody: {
            codeVerifier: string;
            grant: string;
            resource?: string | null;
        };
        /** CredentialsBody */
        CredentialsBody: {
            email: string;
            /**
             * Format: password
             * @example tulip anvil harbour nine
             */
            password: string;
            resource?: string | null;
        };
        /** EmailTokenBody */
        EmailTokenBody: {
            token: string;
        };
        /** EnabledBody */
        EnabledBody: {
            enabled: boolean;
            /** @description Each works once; they are shown only now */
            recoveryCodes: string[];
        };
        /** EnrollmentBody */
        EnrollmentBody: {
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            expiresAt: string;
            /** @default Scan the QR code with your authenticator app. Verify in next step. */
            message: string;
            /** @description To be shown as a QR code; it holds the secret */
            otpauthUrl: string;
            /** @description What `enable` has answered */
            tempSecretId: string;
        };
        /** ErrorBody */
        ErrorBody: {
            error: components["schemas"]["ErrorDetail"];
        };
        /** ErrorDetail */
        ErrorDetail: {
            /**
             * @description Six digits of an authenticator app or, where one is taken, a recovery code
             * @example 123456
             */
            code: string;
            /** @default [] */
            details: components["schemas"]["FieldError"][];
            message: string;
        };
        /** ExportBody */
        ExportBody: {
            account: components["schemas"]["AccountBody"];
            events: {
                [key: string]: string;
            }[];
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            exportedAt: string;
            factors: components["schemas"]["FactorBody"][];
            identities: components["schemas"]["IdentityBody"][];
            sessions: components["schemas"]["SessionBody"][];
        };
        /** FactorBody */
        FactorBody: {
            left?: number;
            /** @enum {string} */
            type: "totp" | "recovery_code";
        };
        /** FieldError */
        FieldError: {
            field: string;
            message: string;
        };
        /** IdentityBody */
        IdentityBody: {
            issuer: string;
            linkedAt: string;
            provider: string;
            subject: string;
        };
        /** IntrospectionBody */
        IntrospectionBody: {
            active: boolean;
            amr?: string[] | null;
            aud?: string | null;
            auth_time?: number | null;
            client_id?: string | null;
            exp?: number | null;
            iat?: number | null;
            iss?: string | null;
            sid?: string | null;
            sub?: string | null;
            /** @enum {null|string} */
            token_type?: "Bearer" | "refresh_token" | null;
        };
        /** JwkBody */
        JwkBody: {
            alg: string;
            crv: string;
            kid: string;
            kty: string;
            use: string;
            x: string;
            y: string;
        };
        /** JwksBody */
        JwksBody: {
            keys: components["schemas"]["JwkBody"][];
        };
        /** LinkBody */
        LinkBody: {
            linkedAt: string;
            provider: string;
        };
        /** LinkedBody */
        LinkedBody: {
            user: components["schemas"]["UserBody"];
        };
        /** LinksBody */
        LinksBody: {
            links: components["schemas"]["LinkBody"][];
        };
        /** LiveBody */
        LiveBody: {
            /** @default live */
            status: string;
        };
        /** LogoutAllBody */
        LogoutAllBody: {
            /**
             * @description Leave the caller's own session alone
             * @default false
             */
            keepCurrent: boolean;
        };
        /** LogoutBody */
        LogoutBody: {
            /** @description Left out where the cookie has it */
            refreshToken?: string | null;
        };
        /** MeBody */
        MeBody: {
            session: components["schemas"]["SessionBody"];
            user: components["schemas"]["UserBody"];
        };
        /** OAuthErrorBody */
        OAuthErrorBody: {
            error: string;
            error_description: string;
        };
        /** OAuthMetadata */
        OAuthMetadata: {
            /** @default true */
            backchannel_logout_session_supported: boolean;
            /** @default true */
            backchannel_logout_supported: boolean;
            /** @default [] */
            grant_types_supported: string[];
            introspection_endpoint: string;
            /**
             * @default [
             *       "Bearer"
             *     ]
             */
            introspection_endpoint_auth_methods_supported: string[];
            issuer: string;
            jwks_uri: string;
            /** @default [] */
            response_types_supported: string[];
            revocation_endpoint: string;
            /**
             * @default [
             *       "none"
             *     ]
             */
            revocation_endpoint_auth_methods_supported: string[];
        };
        /** Part */
        Part: {
            facts?: {
                [key: string]: string;
            };
            message: string;
            ok: boolean;
            /** @default false */
            warning: boolean;
        };
        /** PasswordChangeBody */
        PasswordChangeBody: {
            /**
             * Format: password
             * @example tulip anvil harbour nine
             */
            currentPassword: string;
            /**
             * Format: password
             * @example tulip anvil harbour nine
             */
            newPassword: string;
        };
        /** PasswordResetBody */
        PasswordResetBody: {
            /**
             * Format: password
             * @example tulip anvil harbour nine
             */
            password: string;
            token: string;
        };
        /** ProviderBody */
        ProviderBody: {
            id: string;
            name: string;
        };
        /** ProvidersBody */
        ProvidersBody: {
            providers: components["schemas"]["ProviderBody"][];
        };
        /** ProviderStartBody */
        ProviderStartBody: {
            codeChallenge: string;
            redirectUri: string;
        };
        /** ProviderStartedBody */
        ProviderStartedBody: {
            authorizationUrl: string;
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            expiresAt: string;
        };
        /** Readiness */
        Readiness: {
            clock: components["schemas"]["Part"];
            keyring: components["schemas"]["Part"];
            mail?: components["schemas"]["Part"];
            process?: components["schemas"]["Part"];
            redis: components["schemas"]["Part"];
            users: components["schemas"]["Part"];
        };
        /** ReauthenticateBody */
        ReauthenticateBody: {
            /**
             * @description Six digits of an authenticator app or, where one is taken, a recovery code
             * @example 123456
             */
            code?: string;
            /**
             * Format: password
             * @example tulip anvil harbour nine
             */
            password?: string;
            /** @description Left out where the cookie has it */
            refreshToken?: string | null;
            resource?: string | null;
        } & (unknown | unknown);
        /** RecoveryCodesBody */
        RecoveryCodesBody: {
            /** @description Each works once; they are shown only now */
            recoveryCodes: string[];
        };
        /** RefreshBody */
        RefreshBody: {
            /** @description Left out where the cookie has it */
            refreshToken?: string | null;
            resource?: string | null;
        };
        /** RevokedBody */
        RevokedBody: {
            revoked: number;
        };
        /** SessionBody */
        SessionBody: {
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            createdAt: string;
            current: boolean;
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            expiresAt: string;
            id: string;
            ipAddress: string | null;
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            lastUsedAt: string;
            userAgent: string | null;
        };
        /** SessionsBody */
        SessionsBody: {
            sessions: components["schemas"]["SessionBody"][];
        };
        /** SignedInBody */
        SignedInBody: {
            /** @description A JWT (RFC 9068), for `Authorization: Bearer` */
            accessToken: string;
            /** @description Seconds that the access token is good for */
            expiresIn: number;
            refreshToken?: string;
            /**
             * @description The public id of the session, `sid`
             * @example 5f1d0c2b7a9e4f3d8c6b0a1e
             */
            sessionId: string;
            /** @default Bearer */
            tokenType: string;
            user: components["schemas"]["UserBody"];
        };
        /** SignupBody */
        SignupBody: {
            /**
             * Format: idn-email
             * @example ada@example.com
             */
            email: string;
            /**
             * Format: password
             * @example tulip anvil harbour nine
             */
            password: string;
            resource?: string | null;
        };
        /** TokenPairBody */
        TokenPairBody: {
            /** @description A JWT (RFC 9068), for `Authorization: Bearer` */
            accessToken: string;
            /** @description Seconds that the access token is good for */
            expiresIn: number;
            refreshToken?: string;
            /**
             * @description The public id of the session, `sid`
             * @example 5f1d0c2b7a9e4f3d8c6b0a1e
             */
            sessionId: string;
            /** @default Bearer */
            tokenType: string;
        };
        /** TwoFactorBody */
        TwoFactorBody: {
            enabled: boolean;
            recoveryCodesLeft: number;
        };
        /** UserBody */
        UserBody: {
            /**
             * Format: date-time
             * @example 2026-11-26T08:30:00.000Z
             */
            createdAt: string;
            email: string;
            emailVerified: boolean;
            id: string;
            twoFA: components["schemas"]["TwoFactorBody"];
        };
        /** VerificationBody */
        VerificationBody: {
            /** @default true */
            verificationRequired: boolean;
        };
        /** VerifiedBody */
        VerifiedBody: {
            user: components["schemas"]["UserBody"];
        };
        /** VerifyBody */
        VerifyBody: {
            /**
             * @description Six digits of an authenticator app or, where one is taken, a recovery code
             * @example 123456
             */
            code: string;
            /**
             * @description End all other sessions in the same change
             * @default false
             */
            endOtherSessions: boolean;
            /** @description What `enable` has answered */
            tempSecretId: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    WellKnownJwksJsonJwks: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The JWK set */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JwksBody"];
                };
            };
        };
    };
    WellKnownOauthAuthorizationServerMetadata: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The metadata */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OAuthMetadata"];
                };
            };
        };
    };
    Auth2FaDisableDisable: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CodeBody"];
            };
        };
        responses: {
            /** @description 2FA is off */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    Auth2FaEnableEnable: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What to scan; verify it within ten minutes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EnrollmentBody"];
                };
            };
        };
    };
    Auth2FaRecoveryCodesRenewRecoveryCodes: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CodeBody"];
            };
        };
        responses: {
            /** @description Ten recovery codes; the old ones are dead */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RecoveryCodesBody"];
                };
            };
        };
    };
    Auth2FaVerifyVerify: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["VerifyBody"];
            };
        };
        responses: {
            /** @description 2FA is on; ten recovery codes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EnabledBody"];
                };
            };
        };
    };
    AuthAccountDeleteDeleteAccount: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Account, factors and sessions are gone */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    AuthAccountExportExportAccount: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All that is kept of it, but for secrets */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExportBody"];
                };
            };
        };
    };
    AuthEmailChangeConfirmConfirmChange: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailTokenBody"];
            };
        };
        responses: {
            /** @description The account has that address; all sessions but the one that asked ended */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VerifiedBody"];
                };
            };
        };
    };
    AuthEmailChangeUndoUndoChange: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailTokenBody"];
            };
        };
        responses: {
            /** @description The address of before counts; sessions have ended, the password is void */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VerifiedBody"];
                };
            };
        };
    };
    AuthEmailVerifyVerifyEmail: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailTokenBody"];
            };
        };
        responses: {
            /** @description The address is verified */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VerifiedBody"];
                };
            };
        };
    };
    AuthLoginLogin: {
        parameters: {
            query?: never;
            header?: {
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CredentialsBody"];
            };
        };
        responses: {
            /** @description A token pair, and whose it is */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignedInBody"];
                };
            };
            /** @description The password is right; a code is to follow */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChallengeBody"];
                };
            };
        };
    };
    AuthLogin2FaLoginSecondStep: {
        parameters: {
            query?: never;
            header?: {
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ChallengeAnswerBody"];
            };
        };
        responses: {
            /** @description A token pair, and whose it is */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignedInBody"];
                };
            };
        };
    };
    AuthLogoutLogout: {
        parameters: {
            query?: never;
            header?: {
                /** @description `wait=N` (1 to 5 seconds), `receipt`, or both (RFC 7240) */
                Prefer?: string;
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LogoutBody"];
            };
        };
        responses: {
            /** @description The session has ended */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    AuthLogoutAllLogoutAll: {
        parameters: {
            query?: never;
            header?: {
                /** @description `wait=N` (1 to 5 seconds), `receipt`, or both (RFC 7240) */
                Prefer?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["LogoutAllBody"];
            };
        };
        responses: {
            /** @description How many sessions have ended */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RevokedBody"];
                };
            };
        };
    };
    AuthMeMe: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Account and session */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MeBody"];
                };
            };
        };
    };
    AuthOauthListProviders: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Request fulfilled, document follows */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProvidersBody"];
                };
            };
        };
    };
    AuthOauthProviderBackchannelLogoutBackchannelLogout: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                provider: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": {
                    logout_token: string;
                };
            };
        };
        responses: {
            /** @description The sessions of the token's subject or session have ended */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    AuthOauthProviderCallbackCallback: {
        parameters: {
            query?: {
                code?: string;
                error?: string;
                iss?: string;
                state?: string;
            };
            header?: never;
            path: {
                provider: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: never;
    };
    AuthOauthProviderCallbackCallbackForm: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                provider: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": {
                    code?: string;
                    error?: string;
                    iss?: string;
                    state: string;
                };
            };
        };
        responses: never;
    };
    AuthOauthProviderLinkLink: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                provider: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ProviderStartBody"];
            };
        };
        responses: {
            /** @description Where to send the person; complete links it while the session lives */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProviderStartedBody"];
                };
            };
        };
    };
    AuthOauthProviderLinkUnlink: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                provider: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It logs nobody in any more; sessions go on */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    AuthOauthProviderStartStart: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                provider: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ProviderStartBody"];
            };
        };
        responses: {
            /** @description Where to send the person */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProviderStartedBody"];
                };
            };
        };
    };
    AuthOauthCompleteComplete: {
        parameters: {
            query?: never;
            header?: {
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CompleteBody"];
            };
        };
        responses: {
            /** @description A token pair, and whose it is; of a link the account alone */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignedInBody"] | components["schemas"]["LinkedBody"];
                };
            };
            /** @description The same, of an account that was made by it */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignedInBody"];
                };
            };
            /** @description A code is to follow, at POST /auth/login/2fa */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChallengeBody"];
                };
            };
        };
    };
    AuthOauthLinksListLinks: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Request fulfilled, document follows */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LinksBody"];
                };
            };
        };
    };
    AuthPasswordChangeChangePassword: {
        parameters: {
            query?: never;
            header?: {
                /** @description `wait=N` (1 to 5 seconds), `receipt`, or both (RFC 7240) */
                Prefer?: string;
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PasswordChangeBody"];
            };
        };
        responses: {
            /** @description A token pair of a new session, and whose it is; all others have ended */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignedInBody"];
                };
            };
        };
    };
    AuthPasswordResetResetPassword: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PasswordResetBody"];
            };
        };
        responses: {
            /** @description The password is set; all sessions of the account have ended */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    AuthReauthenticateReauthenticate: {
        parameters: {
            query?: never;
            header?: {
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ReauthenticateBody"];
            };
        };
        responses: {
            /** @description A new token pair of the same session; the old refresh token is spent */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenPairBody"];
                };
            };
        };
    };
    AuthRefreshRefresh: {
        parameters: {
            query?: never;
            header?: {
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RefreshBody"];
            };
        };
        responses: {
            /** @description A new token pair; the old refresh token is spent */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenPairBody"];
                };
            };
        };
    };
    AuthSessionsListSessions: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Living sessions, newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionsBody"];
                };
            };
        };
    };
    AuthSessionsIdEndSession: {
        parameters: {
            query?: never;
            header?: {
                /** @description `wait=N` (1 to 5 seconds), `receipt`, or both (RFC 7240) */
                Prefer?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The session has ended */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    AuthSignupSignup: {
        parameters: {
            query?: never;
            header?: {
                /** @description `cookie`: the refresh token is answered as a cookie and is not in the body */
                "X-Session-Mode"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SignupBody"];
            };
        };
        responses: {
            /** @description The account and a token pair */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SignedInBody"];
                };
            };
            /** @description A mail says how it goes on */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VerificationBody"];
                };
            };
        };
    };
    HealthLiveLive: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It lives */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LiveBody"];
                };
            };
        };
    };
    HealthReadyReady: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every part is ready */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
        };
    };
    MetricsMetrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Prometheus text */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
    OauthIntrospectIntrospect: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": {
                    token: string;
                    token_type_hint?: string;
                };
            };
        };
        responses: {
            /** @description What it stands for, or exactly `{active: false}` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IntrospectionBody"];
                };
            };
        };
    };
    OauthIntrospectBatchIntrospectBatch: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    tokens: string[];
                };
            };
        };
        responses: {
            /** @description What each stands for, in their order */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BatchAnswerBody"];
                };
            };
        };
    };
    OauthRevokeRevoke: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": {
                    token: string;
                    token_type_hint?: string;
                };
            };
        };
        responses: {
            /** @description The session of the token has ended, if it was one */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    SchemaSchemaPage: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
        };
    };
    SchemaOpenapiJsonSchemaDocument: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The document */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
        };
    };
}
